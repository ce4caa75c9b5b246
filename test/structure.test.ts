/** The order of knowledge: who may import whom, and what the pure layers may not touch. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'ava';

const root = join(import.meta.dirname, '..');
const files = globSync(['daemon/**/*.ts', 'rules/**/*.ts', 'proto/*.ts'], { cwd: root });

interface Import {
  readonly from: string;
  readonly to: string;
  readonly dynamic: boolean;
  readonly typeOnly: boolean;
}

const IMPORT = /^(?:import|export)\s+(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm;

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(IMPORT)].map(([statement, to, dynamic]) => {
    const target = (to ?? dynamic) as string;
    const path = target.startsWith('.') ? relative(root, join(root, dirname(file), target)) : target;
    return { from: file, to: path, dynamic: dynamic !== undefined, typeOnly: /^\w+\s+type\s/.test(statement) };
  });
}

/** daemon/kube/x.ts -> kube; daemon/agent.ts -> programs; rules/x.ts -> rules; a package -> its name. */
function layerOf(path: string): string {
  const [top, second, ...rest] = path.split('/');
  if (top === 'daemon') return rest.length === 0 ? 'programs' : (second as string);
  if (top === 'rules' || top === 'proto') return top;
  return 'package';
}

/** What each layer may import, besides itself. Adapters never import each other. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  core: [],
  rules: ['core'],
  reconcile: ['core', 'rules'],
  claims: ['core', 'reconcile'],
  proto: ['package'],
  native: ['core', 'package'],
  kube: ['core', 'reconcile', 'claims', 'package'],
  datapath: ['core', 'rules', 'reconcile', 'native', 'package'],
  reserve: ['core', 'reconcile', 'native', 'package'],
  rpc: ['core', 'reconcile', 'proto', 'native', 'package'],
  ops: ['core', 'reconcile', 'native', 'package'],
  trust: ['core', 'reconcile', 'package'],
  programs: [
    'core',
    'rules',
    'reconcile',
    'claims',
    'proto',
    'native',
    'kube',
    'datapath',
    'reserve',
    'rpc',
    'ops',
    'trust',
    'package',
  ],
};

test('dependencies point one way: core <- rules <- reconcile <- adapters <- programs', (t) => {
  const imports = files.flatMap(importsOf);
  const wrong = imports.filter(({ from, to }) => {
    const layer = layerOf(from);
    const target = layerOf(to);
    return layer !== target && !(MAY[layer] ?? []).includes(target);
  });
  t.deepEqual(wrong, []);
  t.true(imports.length > 300, 'the imports were found at all');
});

/** Everything that is loaded with this file: what it imports, but for what it asks for later by `import()`. */
function loadedWith(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  if (!files.includes(file)) return seen;
  for (const { to, dynamic, typeOnly } of importsOf(file)) if (!dynamic && !typeOnly) loadedWith(to, seen);
  return seen;
}

test('an agent whose pods come from a directory loads no client of the API server', (t) => {
  const loaded = loadedWith('daemon/agent.ts');
  t.true(loaded.has('daemon/podadapters.ts') && loaded.has('daemon/kube/directory.ts'));
  t.deepEqual(
    [...loaded].filter(
      (one) => one === 'undici' || one.startsWith('@kubernetes/') || one.startsWith('daemon/kube/api/'),
    ),
    [],
  );
});

test('a kubeconfig alone costs its library', (t) => {
  t.true(loadedWith('daemon/kubernetes.ts').has('undici'));
  for (const program of ['daemon/kubernetes.ts', 'daemon/kubectlberth.ts'])
    t.false(
      [...loadedWith(program)].some((one) => one.startsWith('@kubernetes/')),
      program,
    );
});

const CLIENT =
  /^daemon\/(?:client|connection|waiting|kubectlberth)\.ts|\/forward\/|^daemon\/rpc\/(?:berthclient|client|endpoint|follow|commands|livepod|render)\.ts|\/completion\//;

test('neither the agent nor the aggregator loads anything of the client', (t) => {
  for (const program of ['daemon/agent.ts', 'daemon/reporting.ts', 'daemon/aggregator.ts']) {
    const loaded = loadedWith(program);
    t.true(loaded.size > 10);
    t.deepEqual(
      [...loaded].filter((one) => CLIENT.test(one)),
      [],
      program,
    );
  }
  t.true([...loadedWith('daemon/connection.ts')].some((one) => CLIENT.test(one)));
});

test('generated code is imported by its typed bindings alone', (t) => {
  const users = files.flatMap(importsOf).filter(({ to }) => to.includes('generated'));
  t.deepEqual([...new Set(users.map(({ from }) => from))].sort(), ['proto/descriptors.ts', 'proto/service.ts']);
});

test('every folder of daemon/ is a known layer', (t) => {
  const layers = new Set(files.map(layerOf));
  t.deepEqual(
    [...layers].filter((layer) => !Object.hasOwn(MAY, layer)),
    [],
  );
});

const PURE = ['core', 'rules', 'reconcile', 'claims'];
const BANNED: readonly (readonly [string, RegExp])[] = [
  ['Date', /\bDate\b/],
  ['Math.random', /\bMath\s*\.\s*random\b/],
  ['a timer', /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b/],
  ['performance', /\bperformance\b/],
  ['process', /\bprocess\s*\./],
  ['a module of Node', /from 'node:/],
  ['globalThis', /\bglobalThis\b/],
];

/** Comments may speak of clocks. */
function codeOf(file: string): string {
  return readFileSync(join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s\/\/ .*$/gm, '');
}

for (const [what, pattern] of BANNED) {
  test(`the pure layers never use ${what}: it comes in as an argument`, (t) => {
    const guilty = files.filter((file) => PURE.includes(layerOf(file)) && pattern.test(codeOf(file)));
    t.deepEqual(guilty, []);
  });
}

test('no default exports, so that a thing has one name everywhere', (t) => {
  t.deepEqual(
    files.filter((file) => /^export default/m.test(codeOf(file))),
    [],
  );
});

test('every file says in its first line what it is for', (t) => {
  const silent = files.filter((file) => !/^(#![^\n]*\n)?\/\*\*/.test(readFileSync(join(root, file), 'utf8')));
  t.deepEqual(silent, []);
});
