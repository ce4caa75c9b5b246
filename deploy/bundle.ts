/**
 * Makes dist/: the whole of `berth` without node_modules, to be run by Node 24 from any path.
 *
 *     npm run bundle -- [DIRECTORY]        (npm runs it under Node 24, whichever Node is installed)
 *
 *     berth.mjs               the program: turns the compile cache on and loads cli.mjs; its first line says how it is run best
 *     cli.mjs, *.mjs          daemon/cli.ts; each command's code in files of its own, loaded when it is asked for
 *     cache/                  V8's code cache, valid for this very Node and the user id that made it
 *     node_modules/           koffi and its prebuilt library (for glibc and musl, of this processor)
 *     licenses.txt            of everything that was bundled
 *     *.mjs.map               for people; the program never reads them
 *
 * Nothing else is needed but Node, and on a node `nft`. It must never run the agent: the machine that builds has a kernel too.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';
import { makeTypes } from './types.ts';

const ROOT = join(import.meta.dirname, '..');

/**
 * How the bundle is to be run, as the first line of berth.mjs has it. A young generation that may not grow (semi-spaces of at
 * most 2 MB, 16 by default) and one arena of malloc keep small an agent that is idle most of the time. V8 takes its flag from
 * the command line alone, malloc its variable at the start of the process.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=2'];
/**
 * How an aggregator is to be run, by its manifest: what it is at for 50 ms, between two batches for its watchers, is garbage before the young
 * generation is collected. In one of 2 MB a fifth of everything gets old meanwhile, and is collected late.
 */
export const AGGREGATOR_NODE_FLAGS: readonly string[] = ['--max-semi-space-size=8'];
/** Before the program. Without `--` Node takes a program's --env-file for its own, wherever that stands. */
export const NODE_COMMAND: readonly string[] = ['node', ...NODE_FLAGS, '--'];
export const RUN_ENV: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '1' };

/** CommonJS packages ask for modules of Node by `require`, which an ES module does not have. */
const REQUIRE = `import { createRequire as createRequireHere } from 'node:module';
const require = createRequireHere(import.meta.url);`;

/**
 * An `import` of these reads every name that they export, and behind some (`WebSocket` of http, `webcrypto` of crypto) Node loads
 * whole clients: 3 MB for nothing. `require` reads what is used.
 */
const SPARING: Plugin = {
  name: 'sparing',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?(http|crypto)$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path: path.replace('node:', ''), namespace: 'sparing' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'sparing' }, ({ path }) => ({
      contents: `module.exports = require('node:${path}');`,
    }));
    // prom-client asks for it in the default metric process_cpu, which nobody here collects.
    onResolve({ filter: /^@opentelemetry\/api$/ }, ({ path }) => ({ path, namespace: 'unused' }));
    onLoad({ filter: /.*/, namespace: 'unused' }, () => ({ contents: 'module.exports = {};' }));
  },
};

const FIRST_LINE = [...Object.entries(RUN_ENV).map(([name, value]) => `${name}=${value}`), ...NODE_COMMAND].join(' ');

/** Portable: the cache is found by paths relative to it, so that dist/ may be moved. */
const STARTER = `#!/usr/bin/env -S ${FIRST_LINE}
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
enableCompileCache({ directory: join(import.meta.dirname, 'cache'), portable: true });
await import('./cli.mjs');
`;

/** What kubectl finds in the PATH as the command `berth` of its own, and for the completion of it; a link to it does too. */
const PLUGINS = { 'kubectl-berth': 'kubectl', 'kubectl_complete-berth': 'kubectl __complete' } as const;
const plugin = (words: string) => `#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/berth.mjs" ${words} "$@"
`;

/** Loads every file of the bundle but the starter once; the cache holds what was compiled thereby. */
const BAKER = `
import { enableCompileCache, flushCompileCache } from 'node:module';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
const directory = process.argv[1];
process.argv[2] = '--version';
enableCompileCache({ directory: join(directory, 'cache'), portable: true });
for (const file of readdirSync(directory)) {
  if (file.endsWith('.mjs') && file !== 'berth.mjs') await import(join(directory, file));
}
flushCompileCache();
`;

/** What of koffi is run: its own package has the sources of the library too. */
const KOFFI = ['koffi/package.json', 'koffi/LICENSE.txt', 'koffi/index.cjs', 'koffi/src/koffi/{index,src/static}.cjs'];

/** Makes the bundle in place of an earlier one. Rejects with esbuild's messages, and when something else is there. */
export async function makeBundle(directory: string): Promise<void> {
  const out = resolve(directory);
  if (existsSync(out) && readdirSync(out).length > 0 && !existsSync(join(out, 'berth.mjs'))) {
    throw new Error(`${out} is not empty and no bundle: it is not replaced`);
  }
  rmSync(out, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [
      { in: 'daemon/cli.ts', out: 'cli' },
      { in: 'daemon/client.ts', out: 'client' },
    ],
    outdir: out,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Identifiers stay: stack traces and `error.constructor.name` are read by people, and helpers that keep the names
    // of renamed functions cost more memory than the longer text.
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: 'external',
    metafile: true,
    banner: { js: REQUIRE },
    plugins: [SPARING],
    legalComments: 'none',
    logLevel: 'warning',
  });
  copyKoffi(out);
  makeTypes(join(out, 'types'));
  writeFileSync(join(out, 'licenses.txt'), licenses(metafile));
  writeFileSync(join(out, 'berth.mjs'), STARTER);
  for (const [file, words] of Object.entries(PLUGINS)) writeFileSync(join(out, file), plugin(words));
  for (const program of ['berth.mjs', ...Object.keys(PLUGINS)]) chmodSync(join(out, program), 0o755);
  // The cache is bound to the flags: as the agent is run, as an aggregator is, and as people run the client.
  for (const flags of [NODE_FLAGS, AGGREGATOR_NODE_FLAGS, []]) {
    execFileSync(process.execPath, [...flags, '--input-type=module', '--eval', BAKER, out], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
}

function copyKoffi(out: string): void {
  const modules = join(ROOT, 'node_modules');
  const native = `@koromix/koffi-${process.platform}-${process.arch}`;
  if (!existsSync(join(modules, native))) throw new Error(`${native} is not installed: run npm ci`);
  for (const path of globSync([...KOFFI, `${native}/**/*.{json,js,node}`], { cwd: modules })) {
    const target = join(out, 'node_modules', path);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(modules, path), target);
  }
}

/** The licence texts of the packages that have something in the bundle. */
function licenses({ inputs }: Metafile): string {
  const packages = new Set<string>();
  for (const path of Object.keys(inputs)) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    if (found !== undefined) packages.add(found);
  }
  const texts = [...packages].sort().map((path) => {
    const { name, version, license } = JSON.parse(readFileSync(join(ROOT, path, 'package.json'), 'utf8'));
    const [file] = globSync('{LICEN[CS]E,licen[cs]e}*', { cwd: join(ROOT, path) });
    const text = file === undefined ? '' : readFileSync(join(ROOT, path, file), 'utf8').trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n`);
}

if (import.meta.main) await makeBundle(process.argv[2] ?? join(ROOT, 'dist'));
