import test from 'ava';
import fc from 'fast-check';
import { ClusterRegistry } from '../../daemon/core/cluster.ts';
import type { ReportedAgent } from '../../daemon/core/noderecord.ts';
import type { ReportedChange, ReportSession } from '../../daemon/core/reportsession.ts';
import { agentOf, at, reported, STATUS } from './reports.ts';

const NODES = ['n1', 'n2', 'n3'];
const PODS = ['a', 'b', 'c', 'd'];
const LIMITS = { graceMs: 5_000, silenceMs: 25_000, dropMs: 60_000 };

/** An agent with its state, as a list of what it was at each sequence number, and what it has told on its stream. */
class ModelAgent {
  readonly identity: ReportedAgent;
  state = new Map<string, number>();
  sequence = 0;
  session: ReportSession | undefined;
  told: { state: Map<string, number>; sequence: number } | undefined;

  constructor(identity: ReportedAgent) {
    this.identity = identity;
  }

  change(pod: string, port: number | undefined): void {
    if (port === undefined) this.state.delete(pod);
    else this.state.set(pod, port);
    this.sequence += 1;
  }

  hello(cluster: ClusterRegistry, time: number): void {
    this.session?.close(at(time));
    this.told = undefined;
    const opened = cluster.open(this.identity, STATUS, at(time), () => {
      this.session = undefined;
    });
    this.session = opened.kind === 'accepted' ? opened.session : undefined;
  }

  snapshot(time: number): void {
    const mappings = [...this.state].sort(([a], [b]) => (a < b ? -1 : 1)).map(([pod, port]) => reported(pod, port));
    const half = mappings.length >> 1;
    this.session?.snapshot({ mappings: mappings.slice(0, half), sequence: undefined }, at(time));
    this.session?.snapshot({ mappings: mappings.slice(half), sequence: this.sequence }, at(time));
    this.told = { state: new Map(this.state), sequence: this.sequence };
  }

  /** Lost deltas make the next one not fit: then the agent sends what it is asked for. */
  delta(time: number, lost: boolean): void {
    const { told } = this;
    if (told === undefined || this.sequence === told.sequence) return;
    const changes = PODS.flatMap((pod): ReportedChange[] => {
      const port = this.state.get(pod);
      if (port === told.state.get(pod)) return [];
      const { mapping, since } = reported(pod, port);
      return port === undefined ? [{ kind: 'deleted', ...mapping }] : [{ kind: 'set', mapping, since }];
    });
    this.told = { state: new Map(this.state), sequence: this.sequence };
    if (lost) return;
    const reply = this.session?.delta({ previous: told.sequence, sequence: this.sequence, changes }, at(time));
    if (reply?.kind === 'resync') this.snapshot(time);
  }
}

const step = fc.record({
  node: fc.nat({ max: NODES.length - 1 }),
  agent: fc.nat({ max: 1 }),
  pod: fc.constantFrom(...PODS),
  port: fc.option(fc.integer({ min: 20_000, max: 20_003 }), { nil: undefined }),
  act: fc.constantFrom('change', 'change', 'hello', 'snapshot', 'delta', 'lost delta', 'close', 'replace', 'sweep'),
  wait: fc.constantFrom(0, 1, 1_000, 4_000, 30_000),
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One agent's life after another, each with a larger epoch; the one before may still be at work. */
function play(cluster: ClusterRegistry, agents: ModelAgent[][], steps: readonly Step[], from = 0): number {
  let time = from;
  let epoch = 10;
  for (const { node, agent, pod, port, act, wait } of steps) {
    time += wait;
    const of = agents[node]?.[agent] as ModelAgent;
    if (act === 'change') of.change(pod, port);
    if (act === 'hello') of.hello(cluster, time);
    if (act === 'snapshot') of.snapshot(time);
    if (act === 'delta' || act === 'lost delta') of.delta(time, act === 'lost delta');
    if (act === 'close') of.session?.close(at(time));
    if (act === 'sweep') cluster.sweep(at(time));
    if (act === 'replace') {
      epoch += 1;
      (agents[node] as ModelAgent[])[agent] = new ModelAgent(agentOf(NODES[node] as string, epoch));
    }
    checkConsistent(cluster);
  }
  return time;
}

/** What is held of each node that is recorded is all there is, and all of a node is stale or nothing of it. */
function checkConsistent(cluster: ClusterRegistry): void {
  const all = cluster.mappings.all({});
  let size = 0;
  for (const [node, { stale }] of cluster.records) {
    const held = cluster.mappings.all({ node });
    size += held.length;
    const among = all.filter((one) => one.node === node);
    if (held.length !== among.length) throw new Error(`${node}: ${held.length} held, ${among.length} among all`);
    if (held.some((one) => (one.stale ?? false) !== stale)) throw new Error(`${node}: not all of it is stale=${stale}`);
  }
  if (size !== cluster.mappings.size) throw new Error(`${cluster.mappings.size} held, ${size} of recorded nodes`);
}

function newAgents(): ModelAgent[][] {
  return NODES.map((node) => [new ModelAgent(agentOf(node, 1)), new ModelAgent(agentOf(node, 2))]);
}

test('I9: any order and loss of reports ends in the state of the newest agent of each node', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cluster = new ClusterRegistry(LIMITS);
      const agents = newAgents();
      const time = play(cluster, agents, steps) + 1;
      for (const pair of agents) {
        const [newest] = pair.toSorted((a, b) => b.identity.epoch - a.identity.epoch);
        newest?.hello(cluster, time);
        newest?.snapshot(time);
        const { node } = (newest as ModelAgent).identity;
        const held = cluster.mappings
          .all({ node })
          .map(({ mapping, stale }) => [mapping.pod.name, mapping.hostPort, stale]);
        const state = [...(newest as ModelAgent).state].sort().map(([pod, port]) => [pod, port, undefined]);
        t.deepEqual(held, state);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('I9: whatever is reported, nothing is served as fresh that no stream has vouched for within the bounds', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cluster = new ClusterRegistry(LIMITS);
      const time = play(cluster, newAgents(), steps) + LIMITS.silenceMs;
      cluster.sweep(at(time));
      t.true(cluster.mappings.all({}).every(({ stale }) => stale));
      cluster.sweep(at(time + LIMITS.dropMs));
      t.is(cluster.mappings.size, 0);
      t.is(cluster.records.size, 0);
    }),
    { numRuns: 1_000 },
  );
});

test('changes told one by one lead a reader from any revision to the present state', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 40 }), (before, after) => {
      const cluster = new ClusterRegistry(LIMITS);
      const agents = newAgents();
      const time = play(cluster, agents, before);
      const { revision } = cluster.mappings;
      const known = new Map(
        cluster.mappings.all({}).map((live) => [JSON.stringify(live.mapping.pod) + live.node, live]),
      );
      play(cluster, agents, after, time);
      for (const { before: was, after: is } of cluster.mappings.changesSince(revision) ?? []) {
        const { node, mapping } = is ?? (was as NonNullable<typeof was>);
        if (is === undefined) known.delete(JSON.stringify(mapping.pod) + node);
        else known.set(JSON.stringify(mapping.pod) + node, is);
      }
      t.deepEqual(new Set(known.values()), new Set(cluster.mappings.all({})));
    }),
    { numRuns: 500 },
  );
});
