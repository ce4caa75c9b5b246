/**
 * Clients that watch the whole cluster, each over a connection of its own. A program. The first one reads the state, the others
 * resume where it stands. They look for probes in the bytes and decode no more: what is measured is the aggregator.
 */
import { setTimeout } from 'node:timers/promises';
import { Metadata } from '@grpc/grpc-js';
import { MappingService } from '../../../proto/service.ts';
import { type Place, readerAt } from './channel.ts';
import { answering } from './member.ts';
import { PROBE } from './population.ts';

export interface Started {
  /** Until the first one had the whole state, in ms. */
  readonly syncedMs: number;
  readonly mappings: number;
  readonly bytes: number;
}

export interface Seen {
  /** From the change at the node until the last watcher had it, and for the typical watcher, in ms. */
  readonly last: readonly number[];
  readonly typical: readonly number[];
  /** Probes that some watcher was never told of. */
  readonly missed: number;
  readonly bytes: number;
  readonly messages: number;
}

export interface WatchersQuestions {
  start(place: Place, count: number): Promise<Started>;
  /** Forgets what was seen so far. */
  begin(): void;
  /** What was seen since, and when each of its probes came, for which it waits so long. */
  seen(withinMs: number): Promise<Seen>;
}

/** When each watcher had the probe, in ms after it. */
const probes = new Map<string, number[]>();
const needle = Buffer.from(PROBE);
const DIGITS = 16;
const { path, requestSerialize, responseDeserialize } = MappingService.watch;
let watchers = 0;
let beganAt = 0n;
let messages = 0;
let bytes = 0;

function note(message: Buffer): void {
  messages += 1;
  bytes += message.length;
  for (let at = message.indexOf(needle); at >= 0; at = message.indexOf(needle, at + needle.length)) {
    const stamp = message.toString('latin1', at + needle.length, at + needle.length + DIGITS);
    const delays = probes.get(stamp) ?? [];
    if (delays.length === 0) probes.set(stamp, delays);
    delays.push(Number(process.hrtime.bigint() - BigInt(stamp)) / 1e6);
  }
}

/** Resolves to the revision of the first answer that has one. */
async function watch(place: Place, revision: string, onState: (message: Buffer) => void): Promise<string> {
  const client = readerAt(place);
  const call = client.makeServerStreamRequest(path, requestSerialize, (b) => b, { revision }, new Metadata());
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let synced = false;
  call.on('data', (message: Buffer) => {
    if (synced) return note(message);
    onState(message);
    const answer = responseDeserialize(message);
    synced = answer.synced === true;
    if (synced) resolve(answer.revision ?? '');
  });
  call.on('error', (error) => {
    if (!synced) reject(error);
    else console.error(`a watcher was lost: ${error.message}`);
  });
  return await promise;
}

const answers: WatchersQuestions = {
  start: async (place, count) => {
    const began = performance.now();
    let [mappings, size] = [0, 0];
    const revision = await watch(place, '', (message) => {
      size += message.length;
      mappings += responseDeserialize(message).changes?.length ?? 0;
    });
    const syncedMs = performance.now() - began;
    await Promise.all(Array.from({ length: count - 1 }, () => watch(place, revision, () => {})));
    watchers = count;
    return { syncedMs, mappings, bytes: size };
  },
  begin: () => {
    probes.clear();
    beganAt = process.hrtime.bigint();
    [messages, bytes] = [0, 0];
  },
  seen: async (withinMs) => {
    const until = process.hrtime.bigint();
    const measured = { bytes, messages };
    const late = () => {
      const stamps = [...probes].filter(([stamp]) => BigInt(stamp) > beganAt && BigInt(stamp) < until);
      // Each is told of again when it goes.
      return Object.groupBy(stamps, ([, delays]) => (delays.length < watchers ? 'missed' : 'whole'));
    };
    for (const end = performance.now() + withinMs; performance.now() < end && late().missed; await setTimeout(100));
    const { whole = [], missed = [] } = late();
    const delays = whole.map(([, all]) => all.slice(0, watchers));
    return {
      ...measured,
      last: delays.map((all) => Math.max(...all)),
      typical: delays.map((all) => all.toSorted((a, b) => a - b)[watchers >> 1] ?? Number.NaN),
      missed: missed.length,
    };
  },
};

answering(answers);
