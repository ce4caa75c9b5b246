/**
 * The Events of pods and of other objects, aggregated: the same one again is counted, not written anew. Its name is made of what it says, so
 * that the next agent goes on counting. Bounded: what was quiet for the longest time is forgotten first.
 */
import { createHash } from 'node:crypto';
import type { PodRef } from '../core/vocabulary.ts';

const MAX_ENTRIES = 1_000;
/** 253 for the name, of which a dot and the hash take 17. */
const MAX_STEM = 236;

/** What an Event is about: a pod, unless it says what else. One without a namespace is the cluster's. */
export interface Involved extends PodRef {
  readonly type?: { readonly apiVersion: string; readonly kind: string };
}

/** What is told; `reason` is CamelCase. */
export interface ObjectEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** One Event object. */
export interface Entry {
  readonly pod: Involved;
  readonly event: ObjectEvent;
  readonly name: string;
  /** ISO, without fractions of a second (metav1.Time). */
  first: string;
  last: string;
  count: number;
  /** The count that surely stands at the API server; 0: the object is not known to be there. */
  written: number;
  /** The request that is next: one is one write of the budget. `look`: an Event of this name is there, how often it was is to be known. */
  step: 'create' | 'look' | 'count';
  failures: number;
  state: 'idle' | 'queued' | 'running' | 'waiting';
  cancel: () => void;
}

export class EventBook {
  /** In the order of the last occurrence. */
  readonly #entries = new Map<string, Entry>();

  /** `now` in ms since the epoch. */
  note(pod: Involved, event: ObjectEvent, now: number): Entry {
    const name = nameOf(pod, event);
    const key = `${pod.namespace}/${name}`;
    const time = `${new Date(now).toISOString().slice(0, 19)}Z`;
    const known = this.#entries.get(key);
    const entry: Entry = known ?? {
      pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid, ...(pod.type && { type: pod.type }) },
      event,
      name,
      first: time,
      last: time,
      count: 0,
      written: 0,
      step: 'create',
      failures: 0,
      state: 'idle',
      cancel: () => {},
    };
    entry.count++;
    entry.last = time;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > MAX_ENTRIES) this.#forgetOldest();
    return entry;
  }

  has(entry: Entry): boolean {
    return this.#entries.get(`${entry.pod.namespace}/${entry.name}`) === entry;
  }

  drop(entry: Entry): void {
    entry.cancel();
    if (this.has(entry)) this.#entries.delete(`${entry.pod.namespace}/${entry.name}`);
  }

  values(): Iterable<Entry> {
    return this.#entries.values();
  }

  #forgetOldest(): void {
    const [oldest] = this.#entries.values();
    if (oldest !== undefined) this.drop(oldest);
  }
}

/** An Event of core/v1, which `kubectl describe` counts as `(x3 over 5m)`. */
export function eventObject({ pod, event, name, first, last, count }: Entry, node: string): object {
  const { namespace, name: podName, uid, type = { apiVersion: 'v1', kind: 'Pod' } } = pod;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: namespaceOf(pod) },
    involvedObject: { ...type, ...(namespace === '' ? {} : { namespace }), name: podName, uid },
    type: event.type,
    reason: event.reason,
    message: event.message,
    source: { component: 'berth', host: node },
    firstTimestamp: first,
    lastTimestamp: last,
    count,
  };
}

/** Events are namespaced; those about objects of the cluster are in `default` (the API server refuses another one). */
export function namespaceOf({ namespace }: Involved): string {
  return namespace === '' ? 'default' : namespace;
}

function nameOf(pod: PodRef, { type, reason, message }: ObjectEvent): string {
  const hash = createHash('sha256').update([pod.uid, type, reason, message].join('\n')).digest('hex').slice(0, 16);
  // A DNS subdomain: no dot or hyphen before a dot.
  return `${pod.name.slice(0, MAX_STEM).replace(/[-.]+$/, '')}.${hash}`;
}
