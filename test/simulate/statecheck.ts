/**
 * I2 and I7 of the state file: a number is written down before it is promised, and that it rests is written down too. A disk
 * that is full or does not answer excuses the agent.
 */
import type { Pod, PodResult, Protocol, Reservation } from '../../daemon/core/vocabulary.ts';
import type { NumberCheck } from './numbercheck.ts';
import type { Stage } from './stage.ts';
import { ownerOf, type Rule } from './table.ts';
import { Violation } from './violation.ts';

/** By when a number that rests must have been written down: a save that failed is tried again after 5 s. */
const WRITTEN_MS = 8_000;

interface StateText {
  readonly grants?: readonly (Numbers & { readonly uid: string; readonly name: string })[];
  readonly resting?: readonly Numbers[];
}

interface Numbers {
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly size: number;
}

export class StateCheck {
  readonly #stage: Stage;
  readonly #numbers: NumberCheck;
  /** Owners and numbers that the running agent has promised. */
  readonly #promised = new Set<string>();
  /** Numbers, as protocol/number, whose rules the running agent took away. */
  readonly #unruled = new Set<string>();
  /** Those of them that it has released, and when. */
  readonly #released = new Map<string, number>();
  /** When the disk was last at work, or failed. */
  #troubledAt = 0;

  constructor(stage: Stage, numbers: NumberCheck) {
    this.#stage = stage;
    this.#numbers = numbers;
  }

  starts(): void {
    this.#promised.clear();
    this.#unruled.clear();
    this.#released.clear();
  }

  /** `result` is to be written to the pod. */
  published(pod: Pod, result: PodResult): void {
    const asked = this.#stage.api.asked(pod);
    // The number of a claim is known beforehand, and promised to whoever waits for it: it is written down for whom it leads to.
    const waits = asked?.claim !== undefined && !('berth.dev/mappings' in result.annotations);
    const ports = asked?.ports ?? [];
    for (const port of ports) {
      // One half of a pair may have to wait for the number that the other half has.
      const shared = ports.filter(({ unit }) => unit === port.unit).length > 1;
      if (shared && result.condition?.reason === 'PortConflict') continue;
      const promise = result.annotations[`port.berth.dev/${port.name}`];
      if (promise === undefined) continue;
      const first = Number(promise.split('-')[0]);
      const owner = ownerOf({ uid: pod.uid, ...port });
      const known = `${owner} ${first}`;
      if (this.#promised.has(known) || (waits && !this.#isTroubled)) continue;
      this.#promised.add(known);
      if (this.#isTroubled || this.#numbers.isClaimed(owner, first)) continue;
      const written = this.#state.grants?.some((grant) => ownerOf(grant) === owner && grant.hostPort === first);
      if (!written) throw new Violation('I2', `${owner} was promised ${first}, which is not written down`);
    }
  }

  /** The rule of a pod is gone. */
  unruled({ uid, protocol, first, last, element }: Rule): void {
    if (!this.#stage.api.known.has(uid) || this.#stage.node.isForeign(element)) return;
    for (let port = first; port <= last; port++) this.#unruled.add(`${protocol}/${port}`);
  }

  /** A number that was only tried does not rest. */
  released({ protocol, port }: Reservation): void {
    const key = `${protocol}/${port}`;
    if (this.#unruled.delete(key)) this.#released.set(key, this.#stage.time.now);
  }

  /** To be called now and then. */
  tick(): void {
    const { time } = this.#stage;
    if (this.#isTroubled) this.#troubledAt = time.now;
    for (const [key, at] of this.#released) {
      if (time.now - Math.max(at, this.#troubledAt) < WRITTEN_MS) continue;
      this.#released.delete(key);
      const { resting = [], grants = [] } = this.#state;
      if ([...resting, ...grants].some((one) => covers(one, key))) continue;
      throw new Violation('I7', `${key} was released, and the state file does not say that it rests`);
    }
  }

  get #isTroubled(): boolean {
    const { disk } = this.#stage.node;
    return disk.fault !== undefined || disk.unfinished;
  }

  get #state(): StateText {
    return JSON.parse(this.#stage.node.disk.text ?? '{}') as StateText;
  }
}

function covers(one: Numbers, key: string): boolean {
  const [protocol, number] = key.split('/');
  return one.protocol === protocol && one.hostPort <= Number(number) && Number(number) < one.hostPort + one.size;
}
