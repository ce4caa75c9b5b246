/** What is still to be told to one life of a pod, and which of two such tasks is done. Pure. */
import type { PodRef, PodResult } from '../core/vocabulary.ts';
import { MAX_EVENTS, type TimedEvent } from './statusfile.ts';

export interface Task {
  readonly pod: PodRef;
  /** Undefined: only Events. */
  result: PodResult | undefined;
  events: readonly TimedEvent[];
  /** The file is to be removed. */
  gone: boolean;
}

export function taskFor(pod: PodRef): Task {
  return { pod, result: undefined, events: [], gone: false };
}

/** Only a result of another life takes the place of what is to be written: a late word on a former life does not. */
export function supersedes(other: Task, known: Task): boolean {
  return known.gone || other.result !== undefined;
}

/** `failed` is to be written again, unless `newer` came in the meantime and takes its place. */
export function combined(failed: Task, newer: Task | undefined): Task {
  if (newer === undefined) return failed;
  if (newer.pod.uid !== failed.pod.uid) return supersedes(newer, failed) ? newer : failed;
  if (newer.gone || failed.gone) return newer;
  return {
    ...newer,
    result: newer.result ?? failed.result,
    events: [...failed.events, ...newer.events].slice(-MAX_EVENTS),
  };
}
