import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { readDoctorOptions } from '../../../daemon/ops/doctor/options.ts';

const DOCS = readFileSync(new URL('../../../docs/doctor.md', import.meta.url), 'utf8');

test('every command line of the documentation is one that the doctor takes', (t) => {
  const lines = [...DOCS.matchAll(/^(?:\$ )?berth doctor(.*)$/gm)].map(([, words = '']) => words.trim().split(/\s+/));
  t.true(lines.length >= 3);
  const config = join(mkdtempSync(join(tmpdir(), 'berth-doctor-')), 'agent.yaml');
  t.teardown(() => rmSync(dirname(config), { recursive: true }));
  writeFileSync(config, 'pods: dir:/etc/berth/pods\nlogLevel: warn\n');
  for (const words of lines) {
    const argv = words.filter((word) => word !== '').map((word) => (word === '/etc/berth/agent.yaml' ? config : word));
    t.is(readDoctorOptions({ argv, env: {} }, 'node-a').kind, 'run', argv.join(' '));
  }
});

test('the doctor takes the options of the agent, none of them required, in any order with its arguments', (t) => {
  const read = (...argv: readonly string[]) => {
    const result = readDoctorOptions({ argv, env: { BERTH_STATE_DIR: '/elsewhere' } }, 'Node-A');
    return result.kind === 'run' ? result.options : undefined;
  };
  const none = read();
  t.is(none?.pods, undefined);
  t.deepEqual([none?.positionals, none?.stateDir, none?.output], [[], '/elsewhere', 'table']);
  t.is(none?.pools[0]?.name, 'default');
  const all = read('--pods', 'dir:/pods', 'default/web', '--output=json', '8080/tcp', '--pool', 'a=7000-7001');
  t.deepEqual(
    [all?.positionals, all?.pods, all?.output],
    [['default/web', '8080/tcp'], { kind: 'dir', path: '/pods' }, 'json'],
  );
  t.is(all?.pools[0]?.name, 'a');
  t.throws(() => read('--pods'), { code: 'CONFIG_INVALID' });
  t.throws(() => read('--output', 'yaml'), { code: 'CONFIG_INVALID', message: /none of table, json/ });
});
