/**
 * Programs of the repository as one file each, made once for every test process: so the agent starts in a third of the
 * time, and a test that starts it fifty times stays short. Needs nothing but esbuild.
 */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

const ROOT = join(import.meta.dirname, '../..');
/** CommonJS packages ask for modules of Node by `require`, which an ES module does not have. */
const REQUIRE = `import { createRequire as createRequireHere } from 'node:module';
const require = createRequireHere(import.meta.url);`;

let directory: string | undefined;
const made = new Map<string, Promise<string>>();
process.on('exit', () => {
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

/** The path of the program that was made of `entry`, a path from the root of the repository: `daemon/cli.ts`. */
export function program(entry: string): Promise<string> {
  let path = made.get(entry);
  if (path === undefined) {
    path = make(entry);
    made.set(entry, path);
  }
  return path;
}

async function make(entry: string): Promise<string> {
  if (directory === undefined) {
    directory = mkdtempSync(join(tmpdir(), 'berth-program-'));
    // For koffi, whose library is no JavaScript.
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  }
  const outfile = join(directory, `${basename(entry, '.ts')}.mjs`);
  await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile,
    bundle: true,
    external: ['koffi'],
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: REQUIRE },
    logLevel: 'warning',
  });
  return outfile;
}
