import test from 'ava';
import type { Grant } from '../../daemon/core/state.ts';
import type { Unit } from '../../daemon/core/unit.ts';
import type { PortRequest } from '../../daemon/core/vocabulary.ts';
import type { Demand } from '../../daemon/reconcile/demand.ts';
import { fits, reservation } from '../../daemon/reconcile/fit.ts';
import { demandOf, grantOf } from './demands.ts';
import { server } from './rig.ts';

const asking = (annotations: Readonly<Record<string, string>> = {}): Demand =>
  demandOf(server(1, { annotations: { 'berth.dev/ports': '', ...annotations } }));

function fitsFirst(grant: Grant, demand: Demand): boolean {
  const [unit] = demand.units as [Unit];
  return fits(grant, demand, unit, unit.requests[0] as PortRequest);
}

const web = asking();
const block = asking({ 'berth.dev/ports': 'm=3/udp' });
const exact = asking({ 'berth.dev/ports': 'm=20003-20005/udp' });
const bound = asking({ 'berth.dev/host-ip': '192.0.2.10' });
const homeless = asking({ 'berth.dev/host-ip': '192.0.2.99' });
const ofBlock = (first: number) =>
  grantOf({ name: 'm', protocol: 'UDP', hostPort: first, containerPort: first, size: 3 });

const cases: readonly (readonly [title: string, Grant, Demand, boolean])[] = [
  ['what was given for this very request', grantOf(), web, true],
  ['any number of the pool, also one that the pool lacks now', grantOf({ hostPort: 9 }), web, true],
  ['another container port', grantOf({ containerPort: 81 }), web, false],
  ['another pool', grantOf({ pool: 'games' }), web, false],
  ['another size', grantOf({ size: 2 }), web, false],
  ['an address where any is meant', grantOf({ hostIP: '192.0.2.10' }), web, false],
  ['a block that keeps its numbers', ofBlock(20_001), block, true],
  ['a block that leads to other numbers', { ...ofBlock(20_001), containerPort: 5 }, block, false],
  ['exactly the numbers that are named', ofBlock(20_003), exact, true],
  ['as many other numbers', ofBlock(20_004), exact, false],
  ['the address that is meant', grantOf({ hostIP: '192.0.2.10' }), bound, true],
  ['another address', grantOf({ hostIP: '192.0.2.11' }), bound, false],
  ['any address where one is meant', grantOf(), bound, false],
  ['whatever address, while the node lacks the one that is meant', grantOf({ hostIP: '192.0.2.99' }), homeless, true],
];

for (const [title, grant, demand, expected] of cases) {
  test(`${title} ${expected ? 'answers' : 'does not answer'} the request`, (t) => {
    t.is(fitsFirst(grant, demand), expected);
  });
}

test('a reservation without an address has no such key', (t) => {
  t.deepEqual(reservation('TCP', 1, undefined), { protocol: 'TCP', port: 1 });
  t.deepEqual(reservation('UDP', 1, '::2'), { protocol: 'UDP', port: 1, hostIP: '::2' });
});
