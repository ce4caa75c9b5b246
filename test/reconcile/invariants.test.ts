/** What the agent finds wrong with itself. */
import test from 'ava';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { brokenInvariants } from '../../daemon/reconcile/invariants.ts';
import { type Element, elementId } from '../../rules/element.ts';
import { elementsOf } from '../../rules/elements.ts';
import { Rig, server } from './rig.ts';

function mapping(index: number, fields: Partial<Mapping> = {}): Mapping {
  const pod = { namespace: 'games', name: `server-${index}`, uid: `uid-${index}` };
  const port = { name: 'web', protocol: 'TCP', pool: 'default', hostPort: 20_000 + index, size: 1 } as const;
  return { pod, ...port, containerPort: 80, podIPs: [`10.0.0.${index}`], ...fields };
}

function installed(...mappings: readonly Mapping[]): ReadonlyMap<string, Element> {
  return new Map(mappings.flatMap(elementsOf).map((element) => [elementId(element), element]));
}

const found = (mappings: readonly Mapping[], standing: readonly Mapping[] = mappings) =>
  brokenInvariants(mappings, installed(...standing)).map(({ invariant, detail }) => `${invariant} ${detail}`);

test('what is announced and stands is in order', (t) => {
  t.deepEqual(found([mapping(1), mapping(2), mapping(3, { protocol: 'UDP', hostPort: 20_001 })]), []);
});

test('I1: two mappings of one number are told with both pods', (t) => {
  const [first, second] = [mapping(1), mapping(2, { hostPort: 20_000, size: 3, containerPort: 20_000 })];
  const message =
    'I1 TCP/20001 leads to pod games/server-1 (port "web" at 20001/TCP) and to pod games/server-2 (port "web" at 20000/TCP)';
  t.deepEqual(found([first, second]), [message]);
});

test('I1: one number at two addresses of the node is two host ports', (t) => {
  const at = (index: number, hostIP: string) => mapping(index, { hostPort: 20_000, hostIP });
  t.deepEqual(found([at(1, '192.0.2.10'), at(2, '192.0.2.11')]), []);
  t.is(found([at(1, '192.0.2.10'), mapping(2, { hostPort: 20_000 })]).length, 1);
});

test('one pod with one number at two addresses: its connections to itself stand once', (t) => {
  const at = (name: string, hostIP: string) => mapping(1, { name, hostIP });
  const ports = [at('web', '192.0.2.10'), at('80-tcp', '192.0.2.11')];
  for (const standing of [ports, ports.toReversed()]) t.deepEqual(found(ports, standing), []);
  const [first] = ports as [Mapping, Mapping];
  t.deepEqual(found(ports, [first]), [
    'I2 pod games/server-1 (port "80-tcp" at 20001/TCP) is announced and its rule does not stand',
  ]);
});

test('I2: an announced mapping whose rule is missing, or leads elsewhere, is told', (t) => {
  const message = 'I2 pod games/server-1 (port "web" at 20001/TCP) is announced and its rule does not stand';
  t.deepEqual(found([mapping(1)], []), [message]);
  t.deepEqual(found([mapping(1)], [mapping(1, { podIPs: ['10.0.0.9'] })]), [message]);
});

test('a full pass looks, and finds nothing wrong in what another program has done', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.ruleset.flush();
  await rig.settle();
  t.deepEqual(rig.recorded('violation'), []);
});

test('a full pass tells of a table that does not hold what was written to it', async (t) => {
  const rig = new Rig();
  let lying = false;
  rig.wrap = (world) => ({
    ...world,
    datapath: {
      ...world.datapath,
      read: async () => {
        const { elements, repaired } = await world.datapath.read();
        return { elements: lying ? [] : elements, repaired };
      },
      apply: async (change) => {
        if (!lying) await world.datapath.apply(change);
      },
    },
  });
  await rig.start();
  await rig.set(server(1));
  lying = true;
  await rig.advance(130_000);
  t.deepEqual(rig.recorded('violation'), [], 'what it wrote it believes: the next reading puts it right');
});
