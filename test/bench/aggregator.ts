/**
 * The aggregator at the size of a whole cluster, and at a tenth of it: memory, processor, answers, watches and a restart. Agents,
 * watchers and clients are real and in processes of their own, on the processors that the aggregator has too.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { makeBundle } from '../../deploy/bundle.ts';
import { Namespace } from '../kernel/namespace.ts';
import type { ApiServerQuestions } from './fleet/apiserver.ts';
import type { Asked, AskerQuestions } from './fleet/asker.ts';
import type { Place } from './fleet/channel.ts';
import { Member } from './fleet/member.ts';
import type { NodesQuestions } from './fleet/nodes.ts';
import { MAPPINGS_PER_NODE } from './fleet/population.ts';
import { ADDRESS, Replica } from './fleet/replica.ts';
import type { WatchersQuestions } from './fleet/watchers.ts';
import type { Measure } from './items.ts';
import { digits, megabytes, ms, type Row, row } from './row.ts';
import type { Scale } from './scale.ts';
import { median, p99 } from './statistics.ts';

const WATCHERS = 100;
const CHANGES_PER_SECOND = 1_000;
/** Of each process that simulates nodes. */
const PROBE_MS = 250;
const COMPLETE_MS = 120_000;
/** A change that a watcher has not been told of by then was lost. */
const SETTLED_MS = 30_000;

export const measure: Measure = async (scale, tell) => {
  const directory = mkdtempSync(join(tmpdir(), 'berth-dist-'));
  try {
    await makeBundle(join(directory, 'dist'));
    for (const nodes of scale.pick([500, 5_000], [500])) await measureWith(nodes, directory, scale, tell);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

async function measureWith(nodes: number, directory: string, scale: Scale, tell: (row: Row) => void): Promise<void> {
  using namespace = Namespace.create('aggregator');
  const api = new Member<ApiServerQuestions>(namespace, 'apiserver.ts');
  const at = { namespace, directory, apiServer: await api.ask('start', nodes) };
  const what = `aggregator, ${nodes} nodes, ${nodes * MAPPINGS_PER_NODE} mappings, TLS`;
  /** Only the size that the budgets are for has them. */
  const judged = (budget: string, met: boolean) => (nodes === 5_000 ? { budget, met } : {});

  let replica = new Replica(at);
  const place = { address: ADDRESS, authorities: await published(api) };
  const fleet = await started(namespace, place, nodes);
  const first = await replica.complete(COMPLETE_MS);
  tell(row(`${what}: all agents started at once, until complete`, { median: ms(first) }));

  await setTimeout(scale.pick(12_000, 2_000));
  const quiet = await during(replica, () => setTimeout(scale.pick(20_000, 3_000)));
  tell(row(`${what}, no changes: resident memory`, { median: megabytes(quiet.resident) }));
  tell(row(`${what}, no changes: CPU of a core`, { median: percent(quiet.share) }));

  const askers = (['gets', 'lists'] as const).map((what) => ({
    what,
    member: new Member<AskerQuestions>(namespace, 'asker.ts'),
  }));
  for (const { member } of askers) await member.ask('start', place, nodes);
  const watchers = new Member<WatchersQuestions>(namespace, 'watchers.ts');
  const { syncedMs, mappings, bytes } = await watchers.ask('start', place, WATCHERS);
  if (mappings !== nodes * MAPPINGS_PER_NODE) throw new Error(`a watcher was told of ${mappings} mappings`);
  const state = `${what}: the state to a new watcher, ${megabytes(bytes)}`;
  tell(row(state, { median: ms(syncedMs) }));

  await Promise.all(fleet.map((one) => one.ask('change', CHANGES_PER_SECOND / fleet.length, PROBE_MS)));
  await setTimeout(scale.pick(5_000, 2_000));
  await watchers.ask('begin');
  const seconds = scale.pick(30, 6);
  const busy = await during(replica, () =>
    Promise.all(askers.map(({ what, member }) => member.ask('ask', what, seconds))),
  );
  const load = loadavg()[0] ?? 0;
  const seen = await watchers.ask('seen', SETTLED_MS);
  const [{ get }, { page, namespace: one, node }] = busy.result as [Asked, Asked];
  const wrong = busy.result.flatMap((asked) => asked.wrong);
  const changes = await Promise.all(fleet.map((member) => member.ask('rest')));
  if (wrong.length > 0)
    throw new Error([`${wrong.length} answers were wrong`, wrong[0], ...replica.warnings].join('\n'));
  if (seen.missed > 0) throw new Error(`${seen.missed} changes did not reach every watcher`);
  if (changes.some((count) => count === 0)) throw new Error('some nodes did not change');

  const changing = `${what}, ${CHANGES_PER_SECOND} changes/s, ${WATCHERS} watchers`;
  const size = judged('≤ 800 MB', busy.resident <= 800e6);
  tell(row(`${changing}: resident memory`, { ...size, median: megabytes(busy.resident) }));
  tell(row(`${changing}: resident memory at its highest so far`, { median: megabytes(replica.resident.peak) }));
  const machine = `${digits(load)} load of the machine`;
  tell(row(`${changing}: CPU of a core`, { median: percent(busy.share), ratio: machine }));
  const figures = (samples: readonly number[]) => ({ median: ms(median(samples)), p99: ms(p99(samples)) });
  tell(row(`${changing}: Get of a pod`, { ...figures(get), ...judged('p99 ≤ 5 ms', p99(get) <= 5) }));
  tell(row(`${changing}: List of a page of 500`, figures(page)));
  tell(row(`${changing}: List of a namespace`, figures(one)));
  tell(row(`${changing}: List of a node`, figures(node)));
  const reached = { ...figures(seen.last), ...judged('≤ 200 ms', p99(seen.last) <= 200) };
  tell(row(`${changing}: a change until the last watcher has it`, reached));
  tell(row(`${changing}: a change until half of them have it`, figures(seen.typical)));
  const told = `${megabytes(seen.bytes / seconds)}/s in ${digits(seen.messages / seconds)} messages/s`;
  tell(row(`${changing}: told to all watchers`, { median: told }));

  await Promise.all([...askers.map(({ member }) => member), watchers].map((member) => member.end()));
  await replica.kill();
  replica = new Replica(at);
  const again = await replica.complete(COMPLETE_MS);
  tell(row(`${what}: restarted, until complete`, { ...judged('≤ 30 s', again <= 30_000), median: ms(again) }));
  tell(row(`${what}: restarted, CPU until then`, { median: ms(replica.cpuMs) }));
  await setTimeout(scale.pick(12_000, 2_000));
  tell(row(`${what}: restarted, resident memory`, { median: megabytes(replica.resident.now) }));
  await replica.kill();
  await Promise.all([api, ...fleet].map((member) => member.end()));
}

/** The processes that simulate the nodes, each with as many. */
async function started(namespace: Namespace, place: Place, nodes: number): Promise<readonly Member<NodesQuestions>[]> {
  const processes = nodes > 1_000 ? 4 : 2;
  const count = nodes / processes;
  const fleet = Array.from({ length: processes }, () => new Member<NodesQuestions>(namespace, 'nodes.ts'));
  await Promise.all(fleet.map((member, index) => member.ask('start', place, { first: index * count, count })));
  return fleet;
}

/** The authorities by which clients know the aggregator, once it has published them. */
async function published(api: Member<ApiServerQuestions>): Promise<string> {
  for (const end = performance.now() + 20_000; performance.now() < end; await setTimeout(20)) {
    const authorities = await api.ask('authorities');
    if (authorities !== undefined) return authorities;
  }
  throw new Error('the aggregator published no authority within 20 s');
}

interface Cost<T> {
  readonly result: T;
  /** Of one processor. */
  readonly share: number;
  /** The most that was seen, in bytes. */
  readonly resident: number;
}

/** What the aggregator takes while something happens. */
async function during<T>(replica: Replica, happens: () => Promise<T>): Promise<Cost<T>> {
  let most = 0;
  const look = () => {
    most = Math.max(most, replica.resident.now);
  };
  const timer = setInterval(look, 500);
  const [before, began] = [replica.cpuMs, performance.now()];
  try {
    const result = await happens();
    look();
    return { result, share: (replica.cpuMs - before) / (performance.now() - began), resident: most };
  } finally {
    clearInterval(timer);
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
