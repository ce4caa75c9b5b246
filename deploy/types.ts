/**
 * Makes the declarations of `berth/client` for the package: what its own declaration reaches and nothing else, so that who uses
 * it sees no generated code. Packages that they name are dependencies of this one.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const ENTRY = 'daemon/client';

/** Writes `daemon/client.d.ts` and what it imports below `directory`. Throws with the compiler's messages. */
export function makeTypes(directory: string): void {
  const place = mkdtempSync(join(tmpdir(), 'berth-types-'));
  try {
    const config = join(place, 'tsconfig.json');
    const compilerOptions = {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      rootDir: ROOT,
      outDir: place,
      typeRoots: [join(ROOT, 'node_modules/@types')],
    };
    const extended = {
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions,
      include: [],
      files: [join(ROOT, `${ENTRY}.ts`)],
    };
    writeFileSync(config, JSON.stringify(extended));
    execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', config], { stdio: 'pipe' });
    copy(place, directory, ENTRY);
  } catch (error) {
    const said = (error as { readonly stdout?: Buffer }).stdout;
    throw said === undefined ? error : new Error(String(said), { cause: error });
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Imports name the file that is run, as declarations of other packages do. */
function copy(from: string, to: string, module: string, seen = new Set<string>()): void {
  if (seen.has(module)) return;
  seen.add(module);
  const text = readFileSync(join(from, `${module}.d.ts`), 'utf8');
  const target = join(to, `${module}.d.ts`);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text.replaceAll(/(from '\.{1,2}\/[^']+)\.ts'/g, "$1.js'"));
  for (const [, path = ''] of text.matchAll(/from '(\.{1,2}\/[^']+)\.ts'/g))
    copy(from, to, join(dirname(module), path), seen);
}
