/** Which addresses an agent has streams to, as the name of the replicas is resolved again. */
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { Reporter } from '../../daemon/rpc/reporter.ts';
import type { ReportStreamListener } from '../../daemon/rpc/reportlink.ts';
import { computedTime } from './clock.ts';
import { SILENT } from './silent.ts';

/** The name has these addresses; an Error is that it cannot be resolved. */
function reporting(first: readonly string[] | Error) {
  const { clock, pass } = computedTime();
  const streams = new Map<string, ReportStreamListener>();
  /** They accept nobody any more. */
  const gone = new Set<string>();
  const asked: number[] = [];
  let answer = first;
  const reporter = new Reporter({
    registry: new MappingRegistry(),
    targets: [{ host: 'replicas', port: 1, literal: false }],
    agent: { node: 'node-a', bootID: 'b', epoch: 1, version: '1' },
    addresses: () => [],
    pools: () => [],
    connect: (address, listener) => {
      streams.set(address, listener);
      if (gone.has(address)) return { write: () => {}, cancel: () => streams.delete(address) };
      queueMicrotask(() => listener.response({ accepted: { replica: 'r' }, ack: { sequence: 1 } }));
      return { write: () => {}, cancel: () => streams.delete(address) };
    },
    resolve: async () => {
      asked.push(clock.monotonic());
      if (answer instanceof Error) throw answer;
      return answer;
    },
    clock,
    random: () => 1,
    observer: SILENT,
  });
  reporter.start();
  return {
    asked,
    streams,
    become: (next: readonly string[] | Error) => {
      answer = next;
    },
    /** Promises are kept every 100 ms. */
    pass: async (ms: number) => {
      for (let passed = 0; passed <= ms; passed += 100) {
        await new Promise((resolve) => setImmediate(resolve));
        pass(100);
      }
    },
    lose: (address: string) => {
      const listener = streams.get(address);
      gone.add(address);
      streams.delete(address);
      listener?.ended(status.UNAVAILABLE, 'gone');
    },
  };
}

test('a replica that is lost and comes back at another address is found within 3 s, not with the next 30 s', async (t) => {
  const { asked, streams, become, pass, lose } = reporting(['10.0.0.1', '10.0.0.2']);
  await pass(4_000);
  t.deepEqual([...streams.keys()], ['10.0.0.1:1', '10.0.0.2:1']);
  t.is(asked.length, 1);
  become(['10.0.0.1', '10.0.0.3']);
  lose('10.0.0.2:1');
  await pass(3_000 + 3_000 + 200);
  t.deepEqual([...streams.keys()], ['10.0.0.1:1', '10.0.0.3:1']);
});

test('a replica that stays away is not asked for faster and faster: its name is resolved at most as often as it is tried', async (t) => {
  const { asked, streams, pass, lose } = reporting(['10.0.0.1']);
  await pass(4_000);
  const before = asked.length;
  let tried = 0;
  for (let second = 0; second < 120; second++) {
    if (streams.has('10.0.0.1:1')) {
      tried += 1;
      lose('10.0.0.1:1');
    }
    await pass(1_000);
  }
  t.true(tried >= 4, `tried ${tried} times`);
  // And every 30 s of its own accord.
  t.true(asked.length - before <= tried + 4, `asked ${asked.length - before} times, tried ${tried} times`);
});

test('while a name cannot be resolved the streams stay', async (t) => {
  const { asked, streams, become, pass } = reporting(['10.0.0.1']);
  await pass(4_000);
  become(new Error('ENOTFOUND'));
  await pass(120_000);
  t.true(asked.length > 3);
  t.deepEqual([...streams.keys()], ['10.0.0.1:1']);
});
