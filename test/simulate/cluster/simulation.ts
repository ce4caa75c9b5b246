/**
 * One run of a cluster: several nodes, two aggregators and what watches them, for some virtual minutes, all of it from one number.
 * The reporters, the report, mapping and watch services and the cluster's state are those that are shipped; only sockets are not.
 */
import { SeededRandom } from '../random.ts';
import { Trace } from '../trace.ts';
import { Violation } from '../violation.ts';
import { VirtualTime } from '../virtualtime.ts';
import { CLUSTER_ACTIONS, type ClusterAction } from './actions.ts';
import { ClusterFaultCounts } from './faults.ts';
import { Judge } from './judge.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import { Replica } from './replica.ts';
import { type ClusterStage, clockOf, note } from './stage.ts';
import { WatchClient } from './watchclient.ts';

export interface ClusterRun {
  readonly seed: number;
  readonly hash: string;
  readonly violation: Violation | undefined;
  readonly lines: readonly string[];
  readonly counts: ClusterFaultCounts;
}

/** What the actions act upon. */
export interface Scene {
  readonly stage: ClusterStage;
  readonly network: Network;
  readonly machines: readonly Machine[];
  readonly replicas: readonly Replica[];
  readonly clients: readonly WatchClient[];
  readonly judge: Judge;
}

const NODES = ['n1', 'n2', 'n3'];
/** Claims to be n1. */
const DUPLICATE = "n1'";
const REPLICAS = ['r1', 'r2'];
/** An agent that was superseded is accepted again after ten minutes, when the other one is gone. */
const CALM_MS = 700_000;
const TICK_MS = 1_000;

export async function simulateCluster(seed: number, lines: number): Promise<ClusterRun> {
  const random = new SeededRandom(seed);
  const time = new VirtualTime();
  const trace = new Trace(lines);
  const counts = new ClusterFaultCounts();
  const stage: ClusterStage = { random, time, clock: clockOf(time), trace, counts };
  const network = new Network(stage, random.chance(0.7));
  const machines = [...NODES, DUPLICATE].map((id) => new Machine(id, stage, network, REPLICAS));
  const judge = new Judge(machines, network, counts);
  let told: Violation | undefined;
  const replicas = REPLICAS.map((name) => new Replica(name, new Set(NODES), stage));
  const clients = replicas.map((replica) => {
    const deleted: Judge['deleted'] = (...what) => {
      try {
        judge.deleted(...what);
      } catch (error) {
        told ??= error as Violation;
      }
    };
    return new WatchClient(replica, stage, { deleted: (...what) => deleted(...what, time.now) });
  });
  for (const replica of replicas) network.replicas.set(replica.name, replica);
  for (const client of clients) judge.clients.set(client.replica.name, client);
  const scene: Scene = { stage, network, machines, replicas, clients, judge };

  let tickAt = 0;
  const until = async (end: number) => {
    while (time.step(end)) {
      await drain();
      if (told !== undefined) throw told;
      if (time.now - tickAt < TICK_MS) continue;
      tickAt = time.now;
      for (const replica of replicas) judge.check(replica, time.now);
    }
  };
  let violation: Violation | undefined;
  try {
    for (const replica of replicas) replica.start();
    for (const machine of machines) if (machine.id === machine.node) machine.start();
    for (const client of clients) client.start();
    for (let actions = random.integer(15, 45); actions > 0; actions--) {
      await until(time.now + gap(random));
      const action: ClusterAction = random.weighted(CLUSTER_ACTIONS);
      action(scene);
      await drain();
    }
    note(stage, '== calm');
    calm(scene);
    await until(time.now + CALM_MS);
    for (const replica of replicas) judge.checkEnd(replica);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  }
  return { seed, hash: trace.hash, violation, lines: trace.lines, counts };
}

/** Whatever was broken works again, and the machine that had another one's name is off. */
function calm({ stage, network, machines, replicas, clients }: Scene): void {
  stage.time.wallOffset = 0;
  network.healAll();
  for (const machine of machines) {
    if (machine.id === machine.node) machine.start();
    else machine.kill();
  }
  for (const replica of replicas) replica.start();
  for (const client of clients) client.resume();
}

/** Most things happen close upon each other, some at rest, few when a node has been given up or a stream is old. */
function gap(random: SeededRandom): number {
  return random.weighted([
    [5, () => random.between(0, 50)],
    [5, () => random.between(50, 3_000)],
    [4, () => random.between(3_000, 40_000)],
    [0.5, () => random.between(100_000, 900_000)],
    [0.1, () => random.between(1_900_000, 3_700_000)],
  ] as const)();
}

/** Everything that follows from the last event without time passing has happened. */
function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
