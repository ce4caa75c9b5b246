/**
 * How long a stream may live: long streams are ended one by one and come again, at any replica and with a token that is checked anew.
 */
import type { Clock, Random } from '../reconcile/ports.ts';

/** Calls `end` once the stream is old. Returns what takes that back. */
export type StreamAge = (end: () => void) => () => void;

const MIN_MS = 30 * 60_000;

/** From 30 to 60 minutes, so that streams that began together do not end together. */
export function streamAge(clock: Pick<Clock, 'after'>, random: Random): StreamAge {
  return (end) => clock.after(MIN_MS * (1 + random()), end);
}
