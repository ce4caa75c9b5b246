import test from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { Narration } from '../../daemon/rpc/narration.ts';
import { mapping, NOW } from './fixture.ts';

const AGENT = { node: 'node-a', bootID: 'b', epoch: 1, version: '1' };

/** What was said, as `hello`, `part 3`, `snapshot 5`, `delta 5-6 2` and `status 6`. */
function said(narration: Narration, registry: MappingRegistry): string | undefined {
  const message = narration.next(registry.revision);
  if (message?.hello) return 'hello';
  if (message?.snapshot) return message.snapshot.last ? `snapshot ${message.snapshot.sequence}` : 'part';
  if (message?.delta) {
    const { previous, sequence, changes } = message.delta;
    return `delta ${previous}-${sequence} ${changes?.length}`;
  }
  return message?.status ? `status ${message.status.sequence}` : undefined;
}

function narrationOf(registry: MappingRegistry): Narration {
  return new Narration({ registry, agent: AGENT, addresses: () => [], pools: () => [] });
}

test('Hello, a snapshot, then what changed since, and nothing while nothing did', (t) => {
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('a'), NOW);
  const narration = narrationOf(registry);
  t.is(said(narration, registry), 'hello');
  t.is(said(narration, registry), 'snapshot 1');
  t.is(said(narration, registry), undefined);
  registry.set('node-a', mapping('b'), NOW);
  registry.set('node-a', mapping('b', { hostPort: 20_001 }), NOW);
  t.is(said(narration, registry), 'delta 1-3 1');
  narration.heartbeat();
  t.is(said(narration, registry), 'status 3');
});

test('what came and went between two messages is not spoken of, and the numbers still fit', (t) => {
  const registry = new MappingRegistry();
  const narration = narrationOf(registry);
  for (const what of ['hello', 'snapshot 0']) t.is(said(narration, registry), what);
  registry.set('node-a', mapping('a'), NOW);
  registry.delete('node-a', mapping('a').pod, 'web', 'TCP');
  t.is(said(narration, registry), undefined);
  registry.set('node-a', mapping('b'), NOW);
  t.is(said(narration, registry), 'delta 0-3 1');
});

test('a narration that the registry has run away from begins with a snapshot again', (t) => {
  const registry = new MappingRegistry(2);
  const narration = narrationOf(registry);
  for (const what of ['hello', 'snapshot 0']) t.is(said(narration, registry), what);
  for (const pod of ['a', 'b', 'c']) registry.set('node-a', mapping(pod), NOW);
  t.is(said(narration, registry), 'snapshot 3');
});

test('a Resync in the midst of a snapshot lets it go on: its parts are in order once only', (t) => {
  const registry = new MappingRegistry();
  for (let index = 0; index < 1_500; index += 1) registry.set('node-a', mapping(`p-${index}`), NOW);
  const narration = narrationOf(registry);
  t.is(said(narration, registry), 'hello');
  t.is(said(narration, registry), 'part');
  narration.resync();
  t.is(said(narration, registry), 'snapshot 1500');
  narration.resync();
  t.is(said(narration, registry), 'part');
});

test('a change is told after the addresses of the node, when these are others than were told', (t) => {
  const registry = new MappingRegistry();
  let addresses = ['192.0.2.1', '10.244.1.1'];
  const asked = { pools: 0 };
  const narration = new Narration({
    registry,
    agent: AGENT,
    addresses: () => addresses.map((address) => ({ address })),
    pools: () => {
      asked.pools += 1;
      return [];
    },
  });
  t.is(said(narration, registry), 'hello');
  t.is(said(narration, registry), 'snapshot 0');
  addresses = ['192.0.2.1'];
  t.is(said(narration, registry), undefined);
  registry.set('node-a', mapping('a'), NOW);
  t.is(said(narration, registry), 'status 0');
  t.is(said(narration, registry), 'delta 0-1 1');
  registry.set('node-a', mapping('b'), NOW);
  t.is(said(narration, registry), 'delta 1-2 1');
  t.is(asked.pools, 2, 'for hello and the status alone: what is free is counted each time');
});
