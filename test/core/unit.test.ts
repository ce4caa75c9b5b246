import test from 'ava';
import { containerPortOf, unitsOf } from '../../daemon/core/unit.ts';
import { DECLARED, okOf } from './pods.ts';

/** Each unit as `name/protocol+…` and what it takes. */
function units(ports: string): readonly string[] {
  return unitsOf(okOf({ 'berth.dev/ports': ports }, DECLARED)).map(({ requests, protocols, size, exact }) => {
    const names = requests.map(({ name, protocol }) => `${name}/${protocol}`).join('+');
    return `${names} ${protocols.join(',')} ${size}${exact === undefined ? '' : ` from ${exact}`}`;
  });
}

const cases: readonly (readonly [title: string, ports: string, readonly string[]])[] = [
  ['one port is one unit', 'web', ['web/TCP TCP 1']],
  ['TCP and UDP of one container port are one', 'dns, dns-udp', ['dns/TCP+dns-udp/UDP TCP,UDP 1']],
  [
    'they are one also when another stands between',
    'dns, web, dns-udp',
    ['dns/TCP+dns-udp/UDP TCP,UDP 1', 'web/TCP TCP 1'],
  ],
  ['SCTP has a number of its own', 'dns, sig', ['dns/TCP TCP 1', 'sig/SCTP SCTP 1']],
  ['a block for two protocols is one', 'm=10/tcp+udp', ['m/TCP+m/UDP TCP,UDP 10']],
  ['numbers named exactly say where they begin', 'm=40000-40009/udp', ['m/UDP UDP 10 from 40000']],
  ['the order is that of the requests', '9000/udp, web', ['9000-udp/UDP UDP 1', 'web/TCP TCP 1']],
];

for (const [title, ports, expected] of cases) {
  test(`${title}: "${ports}"`, (t) => {
    t.deepEqual(units(ports), expected);
  });
}

test('a port leads to the port of the pod, everything else to its own number', (t) => {
  const request = { name: 'x', protocol: 'TCP', group: 'x' } as const;
  t.is(containerPortOf({ ...request, target: { kind: 'port', port: 80 } }, 20_000), 80);
  t.is(containerPortOf({ ...request, target: { kind: 'same' } }, 20_000), 20_000);
  t.is(containerPortOf({ ...request, target: { kind: 'block', size: 5 } }, 20_000), 20_000);
  t.is(containerPortOf({ ...request, target: { kind: 'numbers', first: 7, last: 9 } }, 7), 7);
});
