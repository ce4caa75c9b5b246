/** Judges what replicas answer against what the nodes really had: during the run by I9's bounds, at rest exactly. */
import { Violation } from '../violation.ts';
import type { ClusterFaultCounts } from './faults.ts';
import type { Machine } from './machine.ts';
import type { Network } from './network.ts';
import type { Replica } from './replica.ts';
import type { WatchClient } from './watchclient.ts';

/** A stale mark comes at most so long after the node was lost (I9). */
const STALE_MS = 30_000;
/** A change is answered so soon while the stream lives (I9). */
const CHANGE_MS = 1_000;
/** After a path healed: the longest pause of a reporter, with a lost connection found out before. */
const SETTLED_MS = 75_000;
/** Until then another agent of the node may be remembered. */
const CONTEST_MS = 660_000;

export class Judge {
  readonly #machines: readonly Machine[];
  readonly #network: Network;
  readonly #counts: ClusterFaultCounts;
  readonly #stale = new Set<string>();
  /** Since when nothing has been wrong between a machine and a replica, by `machine>replica`. */
  readonly #wellSince = new Map<string, number>();
  /** When two machines last claimed one node. */
  readonly contested = new Map<string, number>();
  readonly clients = new Map<string, WatchClient>();

  constructor(machines: readonly Machine[], network: Network, counts: ClusterFaultCounts) {
    this.#machines = machines;
    this.#network = network;
    this.#counts = counts;
  }

  /** Called about every second of a run, and at its end. */
  check(replica: Replica, now: number): void {
    const { life } = replica;
    if (life === undefined) return;
    for (const machine of this.#machines) {
      if (machine.id !== machine.node) continue;
      const key = `${machine.id}>${replica.name}`;
      this.#checkNode(replica, machine, key, now, this.#wellFor(replica, machine, key, now));
    }
  }

  /** How long nothing has been wrong between the two, in ms. */
  #wellFor(replica: Replica, machine: Machine, key: string, now: number): number {
    const path = this.#network.path(machine.id, replica.name);
    const whole = path.up && path.down && path.replicaReads && path.agentReads && path.mischief === undefined;
    const contested = now - (this.contested.get(machine.node) ?? Number.NEGATIVE_INFINITY) < CONTEST_MS;
    if (!whole || replica.stalled || contested || machine.runningSince === undefined) this.#wellSince.delete(key);
    else if (!this.#wellSince.has(key)) this.#wellSince.set(key, now);
    const since = Math.max(this.#wellSince.get(key) ?? now, machine.runningSince ?? now, replica.life?.since ?? now);
    return now - since;
  }

  /** Something was done to the stream itself. */
  disturbed(key: string): void {
    this.#wellSince.delete(key);
  }

  #checkNode(replica: Replica, machine: Machine, key: string, now: number, wellMs: number): void {
    const cluster = replica.life?.cluster;
    const record = cluster?.records.get(machine.node);
    this.#count(replica, machine, record?.stale === true, now);
    const served = new Map(
      cluster?.mappings.all({ node: machine.node }).map(({ mapping }) => [mapping.pod.name, mapping.hostPort]),
    );
    const where = `${replica.name} of ${machine.node} at ${now}`;
    if (wellMs >= SETTLED_MS && (record === undefined || record.stale || record.sequence === undefined)) {
      throw new Violation(
        'I9',
        `${where}: nothing has been wrong for ${wellMs} ms, and it is not fresh (stale: ${record?.stale}, state ${record?.sequence}, heard at ${record?.heard.monotonic}, stream: ${record?.session?.synced})`,
      );
    }
    if (record?.sequence === undefined || record.stale) return;
    const contested = now - (this.contested.get(machine.node) ?? Number.NEGATIVE_INFINITY) < CONTEST_MS;
    const claimants = this.#machines.filter(({ node }) => node === machine.node);
    const reached = Math.max(...claimants.map(({ id }) => this.#network.reached.get(`${id}>${replica.name}`) ?? 0));
    // A replica that stalled marks nothing meanwhile, and answers nothing.
    if (now - reached > STALE_MS && !replica.stalled) {
      throw new Violation('I9', `${where}: served as fresh ${now - reached} ms after anything was heard`);
    }
    const since = wellMs >= SETTLED_MS ? now - CHANGE_MS : now - STALE_MS - 5_000;
    const from = contested ? Number.NEGATIVE_INFINITY : since;
    if (!replica.stalled && !claimants.some((one) => one.had(served, from))) {
      throw new Violation('I9', `${where}: ${JSON.stringify([...served])} is not what ${key} had since ${from}`);
    }
  }

  #count(replica: Replica, machine: Machine, stale: boolean, _now: number): void {
    const key = `${machine.id}>${replica.name}`;
    if (stale && !this.#stale.has(key)) {
      this.#stale.add(key);
      this.#counts.reached('node went stale');
    }
    if (!stale && this.#stale.delete(key)) {
      const known = replica.life?.cluster.records.has(machine.node);
      this.#counts.reached(known ? 'node came back' : 'node dropped');
    }
  }

  /** Nothing flaps: what a node has all the time is not told as gone, unless the node was not heard for very long. */
  deleted(replica: Replica, node: string, pod: string, port: number, now: number): void {
    if (now - (this.contested.get(node) ?? Number.NEGATIVE_INFINITY) < CONTEST_MS) return;
    const machine = this.#machines.find(({ id }) => id === node);
    const heard = this.#network.reached.get(`${node}>${replica.name}`) ?? 0;
    if (machine?.alwaysHad(pod, port, now - 60_000) && now - heard < 500_000) {
      throw new Violation(
        'I9',
        `${replica.name} told at ${now} that ${node}/${pod}:${port} is gone, which it never was`,
      );
    }
  }

  /** At rest. */
  checkEnd(replica: Replica): void {
    const { life } = replica;
    if (life === undefined) throw new Violation('I9', `${replica.name} does not run`);
    if (!life.cluster.complete) throw new Violation('I9', `${replica.name} is not complete`);
    const expected = this.#machines
      .filter(({ id, node }) => id === node)
      .flatMap(({ node, ports }) => [...ports].map(([pod, port]) => `${node}/${pod}=${port} false`));
    const held = life.cluster.mappings
      .all({})
      .map(({ node, mapping, stale }) => `${node}/${mapping.pod.name}=${mapping.hostPort} ${stale ?? false}`);
    same(`${replica.name} at rest`, held, expected);
    const client = this.clients.get(replica.name);
    const known = [...(client?.known ?? [])].map(([key, { port, stale }]) => `${key}=${port} ${stale}`);
    if (!client?.synced) throw new Violation('I9', `the watch of ${replica.name} is not synced at rest`);
    same(`the watch of ${replica.name} at rest`, known, expected);
  }
}

function same(where: string, held: readonly string[], expected: readonly string[]): void {
  const [is, should] = [held.toSorted().join(' '), expected.toSorted().join(' ')];
  if (is !== should) throw new Violation('I9', `${where}: ${is} instead of ${should}`);
}
