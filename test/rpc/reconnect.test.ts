/** 5,000 agents that lose their replica at once and come again: as a count in time that is computed, and over real sockets. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import type { Clock } from '../../daemon/reconcile/ports.ts';
import { ChangeFeed } from '../../daemon/rpc/feed.ts';
import { type ReportConnector, ReportLink, type ReportStreamListener } from '../../daemon/rpc/reportlink.ts';
import { computedTime } from './clock.ts';
import { aggregator, eventually } from './clusterfixture.ts';
import { SILENT } from './silent.ts';

const AGENTS = 5_000;
/** A replica lets so many handshakes be under way. */
const HANDSHAKES = 2_048;

/** Numbers that look random and are the same every time (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function contextOf(clock: Clock, connect: ReportConnector) {
  return {
    feed: new ChangeFeed(new MappingRegistry(), clock, 50),
    connect,
    clock,
    random: randomOf(1),
    observer: SILENT,
    agent: { node: 'node-a', bootID: 'b', epoch: 1, version: '1' },
    registry: new MappingRegistry(),
    addresses: () => [],
    pools: () => [],
  };
}

test('agents that lose their replica together come again one by one: in no second more than it has places for handshakes', (t) => {
  const { clock, pass } = computedTime();
  const listeners: ReportStreamListener[] = [];
  let opened: number[] = [];
  const context = contextOf(clock, (_address, listener) => {
    listeners.push(listener);
    opened.push(clock.monotonic());
    return { write: () => {}, cancel: () => {} };
  });
  const links = Array.from({ length: AGENTS }, () => new ReportLink('replica', context));
  const busiest = () => {
    const sorted = opened.toSorted((one, other) => one - other);
    let from = 0;
    return Math.max(
      ...sorted.map((at, index) => {
        while ((sorted[from] ?? at) <= at - 1_000) from += 1;
        return index - from + 1;
      }),
    );
  };
  // They are started together, by an upgrade.
  for (const link of links) link.start();
  for (let ms = 0; ms < 3_500; ms += 50) pass(50);
  t.is(opened.length, AGENTS);
  t.true(busiest() <= HANDSHAKES, `${busiest()} in one second`);
  // The replica has known all of them, and goes away and stays away for a while.
  for (const listener of listeners) listener.response({ accepted: { replica: 'r' }, ack: { sequence: 1 } });
  for (let round = 0; round < 3; round += 1) {
    const lost = listeners.splice(0);
    opened = [];
    for (const listener of lost) listener.ended(status.UNAVAILABLE, 'gone');
    for (let ms = 0; ms < 30_500 && opened.length < AGENTS; ms += 50) pass(50);
    t.is(opened.length, AGENTS);
    t.true(busiest() <= HANDSHAKES, `${busiest()} in one second, at attempt ${round}`);
  }
});

test('a replica that takes long to answer, as one to which thousands come at once, is waited for longer the next time', (t) => {
  const { clock, pass } = computedTime();
  let opened = 0;
  const context = contextOf(clock, (_address, listener) => {
    opened += 1;
    const answer = clock.after(25_000, () => listener.response({ accepted: { replica: 'r' }, ack: { sequence: 1 } }));
    return { write: () => {}, cancel: answer };
  });
  const link = new ReportLink('replica', context);
  link.start();
  for (let ms = 0; ms < 60_000; ms += 50) pass(50);
  t.true(link.connected, `${opened} attempts`);
  t.is(opened, 2);
});

test.serial('5,000 agents come again when their replica is restarted, and every one tells its state', async (t) => {
  // They all come from one address.
  const server = { connections: { ofAll: AGENTS + 10, ofOne: AGENTS + 10 } };
  const first = await aggregator(t, { server });
  const port = Number(first.address.split(':').at(-1));
  const program = join(import.meta.dirname, 'agentprocess.ts');
  const agents = spawn(process.execPath, [program, first.address, 'n', '1', String(AGENTS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => agents.kill('SIGKILL'));
  let said = '';
  agents.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await eventually(() => first.cluster.count.heard === AGENTS);
  t.is(first.cluster.mappings.size, AGENTS);
  await first.stop();
  const second = await aggregator(t, { port, server });
  await eventually(() => second.cluster.count.heard === AGENTS && second.served.streams === AGENTS);
  t.is(second.cluster.mappings.size, AGENTS);
  // They are many in one process, and late; but nobody was refused.
  const { RESOURCE_EXHAUSTED, ABORTED, INVALID_ARGUMENT } = status;
  const refusals = [RESOURCE_EXHAUSTED, ABORTED, INVALID_ARGUMENT].map(String);
  t.deepEqual(
    said.split('\n').filter((line) => refusals.includes(line.split(' ')[1] ?? '')),
    [],
  );
});
