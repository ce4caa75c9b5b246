/** A worker process of a batch. Arguments: the first and the last seed. Sends one message, the result. */
import { runSeeds } from './batch.ts';

const [first = 1, last = first] = process.argv.slice(2).map(Number);
const result = await runSeeds(first, last);
process.send?.(result, () => process.disconnect());
