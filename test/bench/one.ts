/** Runs one measurement and sends its rows to run.ts, which starts it. Arguments: NAME, `full` or `quick`. */
import { ITEMS } from './items.ts';
import { scaleOf } from './scale.ts';

const [name = '', scale] = process.argv.slice(2);
// Ended from outside, it still removes its namespaces: they go at exit.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
const item = ITEMS[name];
if (item === undefined) throw new RangeError(`there is no measurement ${name}: ${Object.keys(ITEMS).join(', ')}`);
const measure = await item.load();
await measure(scaleOf(scale === 'quick'), (row) => process.send?.(row));
process.disconnect?.();
