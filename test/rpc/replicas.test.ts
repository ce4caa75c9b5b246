/** Agents that follow the replicas behind a name, over real sockets. */
import test, { type ExecutionContext } from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { Reporter } from '../../daemon/rpc/reporter.ts';
import { hasty } from './clock.ts';
import { type Aggregator, aggregator, eventually } from './clusterfixture.ts';
import { SILENT } from './silent.ts';

/** `leadsTo` says who listens at an address: replicas have one port for an agent, and ports of their own here. */
function following(
  t: ExecutionContext,
  leadsTo: (host: string) => Aggregator | undefined,
  ...first: readonly string[]
) {
  let answer: readonly string[] | Error = first;
  const counts = { resolved: 0, unresolved: 0 };
  const heard: string[] = [];
  const connect = grpcConnector();
  const reporter = new Reporter({
    registry: new MappingRegistry(16),
    targets: [{ host: 'replicas', port: 1, literal: false }],
    agent: { node: 'node-a', bootID: 'b', epoch: 1, version: '1' },
    addresses: () => [],
    pools: () => [],
    connect: (address, listener) => connect(leadsTo(address.split(':')[0] ?? '')?.address ?? '127.0.0.1:1', listener),
    resolve: async () => {
      if (answer instanceof Error) throw answer;
      return answer;
    },
    clock: hasty(500, 100),
    random: () => 0.5,
    observer: {
      connected: (address) => heard.push(`connected ${address}`),
      lost: (address) => heard.push(`lost ${address}`),
      dropped: (address) => heard.push(`dropped ${address}`),
      sent: () => {},
      resync: () => {},
      resolved: () => {
        counts.resolved += 1;
      },
      unresolved: () => {
        counts.unresolved += 1;
      },
    },
  });
  t.teardown(() => reporter[Symbol.dispose]());
  reporter.start();
  /** From now on; resolves once it was heard. */
  const say = async (...next: readonly string[] | readonly [Error]) => {
    answer = next[0] instanceof Error ? next[0] : (next as readonly string[]);
    const before = counts.resolved + counts.unresolved;
    await eventually(() => counts.resolved + counts.unresolved >= before + 2);
  };
  return { reporter, heard, say, counts };
}

async function twoReplicas(t: ExecutionContext) {
  const [one, two] = [await aggregator(t), await aggregator(t)];
  const replicas: ReadonlyMap<string, Aggregator> = new Map([
    ['192.0.2.1', one],
    ['192.0.2.2', two],
  ]);
  const leadsTo = (host: string) => replicas.get(host);
  return { one, leadsTo };
}

test('a stream that stands is kept while its address is in no answer, and let go when it ends', async (t) => {
  const { one, leadsTo } = await twoReplicas(t);
  const { reporter, heard, say } = following(t, leadsTo, '192.0.2.1');
  await eventually(() => reporter.connected === 1);
  await say('192.0.2.2');
  await eventually(() => reporter.connected === 2);
  t.is(reporter.links, 2);
  t.false(heard.includes('dropped 192.0.2.1:1'));
  await one.stop();
  await eventually(() => heard.includes('dropped 192.0.2.1:1'));
  t.is(reporter.links, 1);
  t.is(reporter.connected, 1);
});

test('an address that leads nowhere is let go as soon as it is in no answer', async (t) => {
  const { leadsTo } = await twoReplicas(t);
  const { reporter, heard, say } = following(t, leadsTo, '192.0.2.1', '192.0.2.99');
  await eventually(() => reporter.connected === 1 && heard.includes('lost 192.0.2.99:1'));
  t.is(reporter.links, 2);
  await say('192.0.2.1');
  t.is(reporter.links, 1);
  t.true(heard.includes('dropped 192.0.2.99:1'));
});

test('without an answer everything stays, and is tried again', async (t) => {
  const { one, leadsTo } = await twoReplicas(t);
  const { reporter, say, counts } = following(t, leadsTo, '192.0.2.1');
  await eventually(() => reporter.connected === 1);
  await say(new Error('SERVFAIL'));
  t.true(counts.unresolved >= 1);
  await one.stop();
  await eventually(() => reporter.connected === 0);
  // It is still what is known of the name.
  t.is(reporter.links, 1);
  await say('192.0.2.2');
  await eventually(() => reporter.connected === 1 && reporter.links === 1);
});

test('I10: however many addresses there are each time, the streams are bounded', async (t) => {
  const { leadsTo } = await twoReplicas(t);
  const { reporter, say } = following(t, leadsTo, '192.0.2.1', '192.0.2.2');
  await eventually(() => reporter.connected === 2);
  for (let round = 0; round < 5; round++) {
    await say(...Array.from({ length: 10_000 }, (_, index) => `10.${round}.${index >> 8}.${index & 255}`));
    t.is(reporter.links, 66);
    t.is(reporter.connected, 2);
  }
  await say('192.0.2.1', '192.0.2.2');
  t.is(reporter.links, 2);
});

test('I10: whoever answers at addresses that are none any more is kept so often, and the oldest is kept', async (t) => {
  // Each takes a node as an aggregator would; one would know that they are all the same agent.
  const accepting = (listener: Parameters<ReturnType<typeof grpcConnector>>[1]) => {
    setImmediate(() => listener.response({ accepted: { replica: 'r' } }));
    return { write: (_: object, written: () => void) => setImmediate(written), cancel: () => {} };
  };
  let answer = ['192.0.2.1'];
  let rounds = 0;
  const dropped: string[] = [];
  const reporter = new Reporter({
    registry: new MappingRegistry(16),
    targets: [{ host: 'replicas', port: 1, literal: false }],
    agent: { node: 'node-a', bootID: 'b', epoch: 1, version: '1' },
    addresses: () => [],
    pools: () => [],
    connect: (_, listener) => accepting(listener),
    resolve: async () => answer,
    clock: hasty(500, 100),
    random: () => 0.5,
    observer: {
      ...SILENT,
      dropped: (address) => dropped.push(address),
      resolved: () => {
        rounds += 1;
      },
    },
  });
  t.teardown(() => reporter[Symbol.dispose]());
  reporter.start();
  await eventually(() => reporter.connected === 1);
  for (let round = 0; round < 4; round++) {
    answer = Array.from({ length: 50 }, (_, index) => `10.${round}.0.${index}`);
    const before = rounds;
    await eventually(() => rounds >= before + 2 && reporter.connected === reporter.links);
    t.true(reporter.links <= 114, `${reporter.links}`);
  }
  t.is(reporter.links, 114);
  t.false(dropped.includes('192.0.2.1:1'));
  // The 64 that are kept are the first one, the first round, and the beginning of the second.
  t.deepEqual([...new Set(dropped.map((address) => address.split('.')[1]))].sort(), ['1', '2']);
});
