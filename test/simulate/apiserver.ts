/**
 * The cluster as the node sees it: the pods, their requests, and what was written to them. It is the truth; what an agent
 * hears of it is another matter (`link.ts`).
 */
import type { Pod, PodRef, PodResult } from '../../daemon/core/vocabulary.ts';
import { type Asked, type Request, requestKey } from './asked.ts';
import type { ObjectShelf } from './objectshelf.ts';
import type { QuickShelf } from './shelf.ts';

const BURIED = 12;

export interface Life {
  readonly namespace: string;
  readonly name: string;
  readonly podIPs?: readonly string[];
  readonly hostNetwork?: boolean;
}

export class ApiServer {
  readonly shelf: QuickShelf | ObjectShelf;
  /** The last pods that were deleted, as they were. */
  readonly graveyard: Pod[] = [];
  /** Every pod that there ever was, by uid. */
  readonly known = new Map<string, PodRef>();
  /** By uid: the claims that the pod ever named. */
  readonly #named = new Map<string, Set<string>>();
  readonly #asked = new Map<string, Asked | undefined>();
  #count = 0;

  constructor(shelf: QuickShelf | ObjectShelf) {
    this.shelf = shelf;
  }

  get pods(): readonly Pod[] {
    return this.shelf.pods;
  }

  /** What this version of a pod asks for; undefined: nothing, or garbage. */
  asked(pod: Pod): Asked | undefined {
    return this.#asked.get(requestKey(pod));
  }

  /** What stands on a pod of the agent's. */
  resultOf(uid: string): PodResult | undefined {
    return this.shelf.resultOf(uid);
  }

  create(request: Request, { namespace, name, podIPs = [], hostNetwork = false }: Life, createdAt: number): Pod {
    const uid = `7d2f6f5e-5c0a-4f0e-9f0d-${String(++this.#count).padStart(12, '0')}`;
    const pod: Pod = {
      namespace,
      name,
      uid,
      annotations: request.annotations,
      hostNetwork,
      phase: podIPs.length > 0 ? 'Running' : 'Pending',
      terminating: false,
      ended: false,
      podIPs,
      ports: request.ports,
      createdAt,
    };
    const before = this.pods.find((one) => one.namespace === namespace && one.name === name);
    if (before !== undefined) this.#bury(before);
    this.known.set(uid, { namespace, name, uid });
    this.#remember(pod, request.asked);
    this.shelf.set(pod);
    return pod;
  }

  /** Other annotations; the declared ports cannot change. What was written to the pod stays on it. */
  ask(pod: Pod, annotations: Readonly<Record<string, string>>, asked: Asked | undefined): void {
    const written = Object.entries(pod.annotations).filter(
      ([key]) => key === 'berth.dev/mappings' || key.startsWith('port.'),
    );
    const next = { ...pod, annotations: { ...Object.fromEntries(written), ...annotations } };
    this.#remember(next, asked);
    this.shelf.set(next);
  }

  update(pod: Pod, change: Partial<Pod>): void {
    this.shelf.set({ ...pod, ...change });
  }

  remove(pod: Pod): void {
    this.shelf.delete(pod);
    this.#bury(pod);
  }

  /** Somebody writes an annotation that only the agent should write. */
  forge(pod: Pod, key: string, value: string): void {
    this.shelf.forge(pod, key, value);
  }

  /** Some version of the pod named the claim. */
  hasNamed(uid: string, claim: string): boolean {
    return this.#named.get(uid)?.has(claim) === true;
  }

  #remember(pod: Pod, asked: Asked | undefined): void {
    this.#asked.set(requestKey(pod), asked);
    if (asked?.claim === undefined) return;
    const named = this.#named.get(pod.uid) ?? new Set();
    this.#named.set(pod.uid, named.add(asked.claim));
  }

  #bury(pod: Pod): void {
    this.graveyard.push(pod);
    if (this.graveyard.length > BURIED) this.graveyard.shift();
  }
}
