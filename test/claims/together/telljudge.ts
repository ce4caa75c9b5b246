/**
 * What stands on a pod of its numbers: those of its claims, and nothing else. A number that leads to the pod must be its own by right;
 * one that it shows beside must be that of its claim as it is now: of one that is being deleted a late pod that ends itself is told too.
 */
import type { History, PodFacts } from './history.ts';
import { nameOf } from './kerneljudge.ts';
import type { Verdict } from './verdict.ts';

const PROMISE = 'port.berth.dev/';
const MAPPINGS = 'berth.dev/mappings';

interface Mapped {
  readonly name: string;
  readonly hostPort: number;
  readonly podUID: string;
}

export class TellJudge {
  readonly #history: History;
  readonly #verdict: Verdict;

  constructor(history: History, verdict: Verdict) {
    this.#history = history;
    this.#verdict = verdict;
  }

  /** The pod has changed. */
  look(uid: string): void {
    const pod = this.#history.pods.get(uid);
    if (pod === undefined) return;
    for (const [port, number] of promised(pod)) if (!this.#isCurrent(pod, port, number)) this.#shows(pod, port, number);
    for (const { name, hostPort, podUID } of mapped(pod)) {
      this.#shows(pod, name, hostPort);
      if (podUID !== uid) this.#wrong(pod, `mappings of pod ${podUID}`);
    }
  }

  #isCurrent(pod: PodFacts, port: string, number: number): boolean {
    return this.#history.claimNamed(pod.namespace, pod.claims.get(port))?.number === number;
  }

  #shows(pod: PodFacts, port: string, number: number): void {
    if (this.#history.rightOf(pod, port, number) === undefined) this.#wrong(pod, `${number} at port ${port}`);
  }

  #wrong(pod: PodFacts, what: string): void {
    this.#verdict.wrong('a pod is told the numbers of its claims only', `pod ${nameOf(pod)} shows ${what}`);
  }
}

/** By port. */
export function promised({ object }: PodFacts): ReadonlyMap<string, number> {
  const annotations = Object.entries<string>(object.metadata.annotations ?? {});
  return new Map(
    annotations.flatMap(([key, value]) =>
      key.startsWith(PROMISE) ? [[key.slice(PROMISE.length), Number(value)]] : [],
    ),
  );
}

export function mapped({ object }: PodFacts): readonly Mapped[] {
  return JSON.parse(object.metadata.annotations?.[MAPPINGS] ?? '[]');
}
