/**
 * The performance budgets, measured: `npm run bench -- [--quick] [NAME ...]` (`make bench`). Root is needed; everything
 * happens in network namespaces of its own, which are removed. The exit code is 1 when a measurement failed; a
 * budget that is not met is told in the table and does not fail the run.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { ITEMS } from './items.ts';
import type { Row } from './row.ts';
import { table } from './table.ts';

const ONE = new URL('one.ts', import.meta.url);
/** How long a measurement that was told to end may take to clean up, in ms. */
const GRACE_MS = 10_000;

const { values, positionals } = parseArgs({ options: { quick: { type: 'boolean' } }, allowPositionals: true });
const quick = values.quick === true;
const names = positionals.length > 0 ? positionals : Object.keys(ITEMS);
const unknown = names.filter((name) => !Object.hasOwn(ITEMS, name));
if (unknown.length > 0) {
  console.error(`there is no measurement ${unknown.join(', ')}; there are ${Object.keys(ITEMS).join(', ')}`);
  process.exit(2);
}

const rows: Row[] = [];
const failed: string[] = [];
const began = performance.now();
console.log(
  `Node ${process.version}, Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`,
);
for (const name of names) await measure(name);
console.log(`\n${table(rows)}\n`);
const missed = rows.filter(({ met }) => met === false);
const measured = rows.filter(({ met }) => met !== undefined);
console.log(`${measured.length - missed.length} of ${measured.length} budgets met in ${seconds(began)} s`);
if (failed.length > 0) console.error(`failed: ${failed.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;

/** In a process of its own: the memory, the compiled code and the garbage of one do not weigh on the next. */
async function measure(name: string): Promise<void> {
  const start = performance.now();
  const [full, short] = ITEMS[name]?.seconds ?? [0, 0];
  const child = fork(ONE, [name, quick ? 'quick' : 'full'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.on('message', (row: Row) => {
    rows.push(row);
    console.log(`  ${[row.what, row.median, row.p99, row.ratio].filter((text) => text !== '').join('  ')}`);
  });
  console.log(`${name} (load ${(loadavg()[0] ?? 0).toFixed(1)})`);
  const timer = setTimeout(
    () => {
      console.error(`${name}: not done within ${quick ? short : full} s`);
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
    },
    1_000 * (quick ? short : full),
  );
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  if (code !== 0) failed.push(name);
  console.log(`  ${seconds(start)} s`);
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1_000).toFixed(1);
}
