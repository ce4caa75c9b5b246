/** Waiting for a condition that another process brings about: looks every few milliseconds and leaves the processor to it. */
import { setTimeout } from 'node:timers/promises';

interface Limits {
  readonly seconds?: number;
  readonly why?: () => string;
}

const nothing = () => '';

/** Resolves to the first answer that is not undefined; throws after `seconds`, with what `why` has to say. */
export async function answered<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  what: string,
  { seconds = 30, why = nothing }: Limits = {},
): Promise<T> {
  const end = performance.now() + seconds * 1_000;
  while (performance.now() < end) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await setTimeout(5);
  }
  throw new Error(`not within ${seconds} s: ${what}\n${why()}`);
}
