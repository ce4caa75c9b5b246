/** Variants measured in turn, A B C A B C …, so that what else the machine does weighs on all of them alike. */
import { Arena, type Variant } from './arena.ts';

/** A batch of one variant takes about this long, in ms. */
const BATCH_MS = 12;

/** CPU time of one connection in each round, ms; the rounds go on until so many seconds are over. */
export async function inTurn<Name extends string>(
  variants: Readonly<Record<Name, Variant>>,
  seconds: number,
): Promise<Readonly<Record<Name, readonly number[]>>> {
  using arena = new Arena();
  const names = Object.keys(variants) as Name[];
  for (const name of names) await arena.add(variants[name]);
  // Compiles, fills the neighbour tables, and tells how many connections make a batch.
  const sizes = names.map((name) => {
    arena.measure(variants[name], 20);
    return Math.min(1_000, Math.max(10, Math.round(BATCH_MS / arena.measure(variants[name], 50))));
  });
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  const end = performance.now() + 1_000 * seconds;
  for (let round = 0; performance.now() < end; round++) {
    // Each round begins at another one: none always follows the most expensive.
    for (let turn = 0; turn < names.length; turn++) {
      const index = (turn + round) % names.length;
      const name = names[index] as Name;
      samples[name].push(arena.measure(variants[name], sizes[index] as number));
    }
  }
  return samples;
}
