import test from 'ava';
import type { HopCode } from '../../../daemon/core/diagnosis.ts';
import { seen } from '../../../daemon/core/diagnosis.ts';
import { command } from '../../../daemon/ops/doctor/command.ts';
import { renderDiagnosis } from '../../../daemon/ops/doctor/render.ts';
import { examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { HOST, NAT, NODE, PORT, podFacts, UPLINK } from './patients.ts';

test('V19: what a name holds never reaches a terminal, nor becomes a second word of a command', (t) => {
  const evil = 'a\u001b[2J\r\n\u202e';
  const chain = { ...NAT, table: evil, name: "x'; reboot; '" };
  const device = '$(reboot)';
  const facts = {
    ...HOST,
    earlierNat: seen([chain]),
    uplinks: seen([{ ...UPLINK, device, forwards: false, strict: false }]),
    ebpfDevices: seen([evil]),
  };
  const ports = [{ ...PORT, request: { ...PORT.request, name: evil } }];
  const findings = examinePod(podFacts({}, { ports }), { ...NODE, socket: evil, host: facts });
  for (const format of ['table', 'json'] as const) {
    t.notRegex(renderDiagnosis({ pod: 'games/arena-0', findings }, format), /[\u0000-\u0009\u000b-\u001f\u202e]/);
  }
  const commandOf = (code: HopCode) => findings.find((one) => one.code === code)?.command;
  t.is(commandOf('BD601'), "sysctl -w 'net/ipv4/conf/$(reboot)/forwarding=1'");
  t.true(commandOf('BD603')?.endsWith(" 'x'\\''; reboot; '\\'''"));
  t.is(command('a b', 'c', "d'e", 7), `'a b' c 'd'\\''e' 7`);
});
