/** What README and docs show works: manifests parse, pools are accepted, commands and their flags exist, links lead somewhere. */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { parse } from 'yaml';
import { POOL_DEFAULTS } from '../daemon/core/pool.ts';
import { parsePodRequest } from '../daemon/core/request.ts';
import { decode } from '../daemon/kube/claims/schema.ts';
import { decodePod } from '../daemon/kube/pod.ts';
import { readAgentOptions } from '../daemon/ops/agentoptions.ts';
import { readAggregatorOptions } from '../daemon/ops/aggregatoroptions.ts';
import { parsePoolsFile } from '../daemon/ops/pools.ts';
import { readUninstallOptions } from '../daemon/ops/uninstall/options.ts';
import { assess } from '../daemon/reconcile/demand.ts';
import { ITEMS } from './bench/items.ts';
import { table } from './bench/table.ts';
import { findProgram, MISSING } from './ops/prometheus.ts';
import { agent, aggregator, eventually } from './rpc/clusterfixture.ts';
import { fixture, mapping, NODE, NOW } from './rpc/fixture.ts';
import { CA, owner, secured } from './rpc/tls/secured.ts';

const root = join(import.meta.dirname, '..');
const CLI = join(root, 'daemon/cli.ts');
const { scripts }: { scripts: object } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: root })].sort();

interface Block {
  readonly page: string;
  readonly language: string;
  readonly text: string;
}

const blocks: readonly Block[] = pages.flatMap((page) => {
  const found = readFileSync(join(root, page), 'utf8').matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm);
  return [...found].map(([, language = '', text = '']) => ({ page, language, text }));
});

for (const [index, { page, text }] of blocks.filter(({ language }) => language === 'yaml').entries()) {
  test(`${page}: YAML block ${index + 1} is accepted`, (t) => {
    const object: unknown = parse(text);
    if (page === 'docs/prometheus.md') return acceptedByPrometheus(t, text);
    if (page === 'docs/claims.md') return acceptedByController(t, object);
    if (typeof object === 'object' && object !== null && 'kind' in object) {
      const parsed = parsePodRequest(decodePod(object));
      t.is(parsed.kind, 'ok', JSON.stringify(parsed));
    } else {
      t.notThrows(() => parsePoolsFile(text, page));
    }
  });
}

/** The real API server is asked in test/deploy/claims.apiserver.test.ts. */
function acceptedByController(t: ExecutionContext, object: unknown): void {
  const { kind, metadata, ...rest } = object as { readonly kind: string; readonly metadata: object };
  const kinds = {
    HostPortClass: 'class',
    HostPortClaim: 'claim',
    HostPort: 'hostport',
    StatefulSet: 'statefulset',
  } as const;
  const known = kinds[kind as keyof typeof kinds];
  t.notThrows(() => decode(known, { ...rest, metadata: { ...metadata, uid: 'shown', resourceVersion: '1' } }));
}

function acceptedByPrometheus(t: ExecutionContext, text: string): void {
  const program = findProgram('promtool');
  if (program === undefined) {
    t.log(MISSING);
    t.pass();
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'berth-docs-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'prometheus.yml');
  // A part of a configuration stands where it belongs.
  const part = text.startsWith('scrape_configs:')
    ? text
    : `scrape_configs:\n- job_name: shown\n${text.replace(/^/gm, '  ')}`;
  writeFileSync(file, part);
  t.notThrows(() => execFileSync(program, ['check', 'config', '--syntax-only', file], { stdio: 'pipe' }));
}

test('every item of a list of ports that is shown is granted by a pool without a policy, or its row says what to set', (t) => {
  const pool = { name: 'default', ranges: [{ first: 20_000, last: 49_999 }], ...POOL_DEFAULTS };
  const node = { labels: {}, addresses: [], isNodeAddress: () => false };
  const text = readFileSync(join(root, 'docs/annotations.md'), 'utf8');
  const [, table = ''] = /^\| item \| meaning \|\n([\s\S]*?)\n\n/m.exec(text) ?? [];
  const rows = table.split('\n').slice(1);
  t.true(rows.length >= 5);
  for (const row of rows) {
    for (const [, item] of (row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)) {
      const pod = decodePod({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'shown', annotations: { 'berth.dev/ports': item } },
        spec: { containers: [{ name: 'main', ports: [{ name: 'web', containerPort: 8080 }] }] },
      });
      const found = assess(pod, new Map([['default', pool]]), node);
      if (found.kind !== 'wanted') t.fail(`${item}: ${JSON.stringify(found)}`);
      else t.is(found.denied !== undefined, row.includes('maxPortsPerPod'), `${item}: ${found.denied?.message}`);
    }
  }
});

const lines = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ page, text }) =>
    text
      .trim()
      .split('\n')
      .map((line) => ({ page, line: line.trim() })),
  )
  .filter(({ line }) => line !== '' && !line.startsWith('#'));

test('every make target that is shown exists', (t) => {
  const makefile = readFileSync(join(root, 'Makefile'), 'utf8');
  const shown = lines.filter(({ line }) => line.startsWith('make '));
  t.true(shown.length > 0);
  for (const { page, line } of shown) {
    const target = line.split(' ')[1] as string;
    t.regex(makefile, new RegExp(`^${target}:`, 'm'), `${page}: ${line}`);
  }
});

/** Every line with a berth command, also where its output is shown too. */
const commands = blocks
  .flatMap(({ page, text }) => text.split('\n').map((line) => ({ page, line: line.replace(/^\$ /, '').trim() })))
  .filter(({ line }) => line.startsWith('berth '));

test('every berth command that is shown works as it stands, argument by argument', async (t) => {
  t.true(new Set(commands.map(({ line }) => line.split(' ')[1])).size >= 5);
  const node = await shownNode(t);
  for (const line of new Set(commands.map(({ line }) => line))) {
    const argv = line.split(/\s+/).slice(1).map(node.replaced);
    const [command, ...rest] = argv;
    // They would be at work on this very machine.
    const read = { agent: readAgentOptions, aggregator: readAggregatorOptions, uninstall: readUninstallOptions }[
      command ?? ''
    ];
    if (read !== undefined) {
      t.is(read({ argv: rest, env: {} }, 'node-a').kind, 'run', line);
      continue;
    }
    const run = execa(process.execPath, [CLI, ...argv], { env: node.env, reject: false, timeout: 60_000 });
    // It goes on until it is interrupted.
    if (command === 'watch') run.stdout.once('data', () => run.kill('SIGINT'));
    const { exitCode, stdout, stderr } = await run;
    // The doctor ends with 1 when it finds something, as on a node without a table.
    t.true(exitCode === 0 || (command === 'doctor' && exitCode === 1), `${line}: ${stderr}`);
    t.is(stderr, '', line);
    t.not(stdout, '', line);
  }
});

/** What the pages' examples speak of: the pods in their directory, an agent's configuration, an agent that answers. */
async function shownNode(t: ExecutionContext) {
  const { registry, socketPath } = await fixture(t);
  const [plain, secure] = [await aggregator(t), await secured(t)];
  agent(t, [plain.address], { node: NODE, registry });
  const directory = mkdtempSync(join(tmpdir(), 'berth-docs-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const pods = join(directory, 'pods');
  mkdirSync(pods);
  for (const [namespace, name, port] of [
    ['default', 'game-7', 'play'],
    ['games', 'arena-0', 'web'],
  ] as const) {
    const manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, uid: name, annotations: { 'berth.dev/ports': '' } },
      spec: { containers: [{ name: 'main', ports: [{ name: port, containerPort: 8080 }] }] },
      status: { phase: 'Running', podIPs: [{ ip: '10.244.1.7' }] },
    };
    writeFileSync(join(pods, `${name}.json`), JSON.stringify(manifest));
    const shown = mapping(name, { pod: { namespace, name, uid: name }, name: port });
    registry.set(NODE, shown, NOW);
    secure.cluster.mappings.set(NODE, shown, NOW);
  }
  await eventually(() => plain.cluster.mappings.size === 2);
  const [authority, token] = [join(directory, 'ca.crt'), join(directory, 'token')];
  writeFileSync(authority, CA.cert);
  writeFileSync(token, 'header.claims.signature');
  secure.tokens.set('header.claims.signature', owner('ann'));
  secure.rights.add('ann list games');
  const config = join(directory, 'agent.yaml');
  writeFileSync(config, `pods: dir:${pods}\nlogLevel: warn\n`);
  const env = { BERTH_SOCKET: socketPath, BERTH_STATE_DIR: directory };
  const places = {
    '/etc/berth/pods': pods,
    '/etc/berth/agent.yaml': config,
    '127.0.0.1:9465': plain.address,
    'berth-aggregator.berth-system.svc:9467': secure.address,
    '/etc/berth-ca/ca.crt': authority,
    '/var/run/secrets/berth/token': token,
  };
  const replaced = (word: string) =>
    Object.entries(places).reduce((text, [shown, here]) => text.replace(shown, here), word);
  return { env, replaced, directory };
}

for (const { page, text } of blocks.filter(({ language }) => language === 'ts')) {
  test(`${page}: the program in TypeScript does what is said there`, async (t) => {
    const node = await shownNode(t);
    const program = join(node.directory, 'program.ts');
    const client = join(root, 'daemon/client.ts');
    writeFileSync(program, node.replaced(text).replace('berth/client', client));
    const { exitCode, stdout, stderr } = await execa(process.execPath, [program], { reject: false, timeout: 60_000 });
    t.deepEqual([exitCode, stderr], [0, '']);
    t.deepEqual(stdout.split('\n'), ['192.0.2.10:20000', '1', 'node-a 2', 'game-7', 'arena-0']);
  });
}

for (const { page, text } of blocks.filter(({ language }) => language === 'python')) {
  test(`${page}: the program in Python, from the contract alone, does what is said there`, async (t) => {
    // Debian's, which has the packages that the page names.
    const python = '/usr/bin/python3';
    const there = await execa(python, ['-c', 'import grpc, grpc_tools'], { reject: false });
    if (there.exitCode !== 0) {
      t.log('python3-grpcio and python3-grpc-tools are not installed: not run');
      t.pass();
      return;
    }
    const node = await shownNode(t);
    const [generate = ''] = lines
      .filter(({ line }) => line.startsWith('python3 -m grpc_tools.protoc'))
      .map(({ line }) => line);
    const argv = generate
      .split(' ')
      .slice(1)
      .map((word) => (word === 'proto' ? join(root, 'proto') : word));
    await execa(python, argv, { cwd: node.directory });
    writeFileSync(join(node.directory, 'list.py'), text);
    const run = execa(python, ['list.py', node.replaced('127.0.0.1:9465')], { cwd: node.directory, timeout: 60_000 });
    const { stdout } = await run;
    t.regex(
      stdout,
      /^default game-7 play 192\.0\.2\.10:20000\ngames arena-0 web 192\.0\.2\.10:20000\nset game-7\nset arena-0\nsynced, to be resumed at \S+$/,
    );
  });
}

test('every other command that is shown is one that reads or changes nothing unexpected', (t) => {
  const known = /^(make|berth|nft list|curl|conntrack -L|ip|cd|git|npm|sysctl|kubectl|iptables|python3)\b/;
  for (const { page, line } of lines) t.regex(line, known, page);
});

test('nobody is told to run TypeScript by `node`: Node 20 cannot, npm scripts have Node 24', (t) => {
  const texts = [...pages, 'Makefile', ...globSync('{daemon,deploy,proto,rules,test}/**/*.{ts,sh}', { cwd: root })];
  const told = /\bnode (?:--?\S+ )*[\w./-]+\.ts\b/;
  t.deepEqual(
    texts.filter((file) => told.test(readFileSync(join(root, file), 'utf8'))),
    [],
  );
  for (const { page, line } of lines.filter(({ line }) => line.startsWith('npm run '))) {
    const script = /^npm run (?:--silent )?(\S+)/.exec(line)?.[1] ?? '';
    t.true(Object.hasOwn(scripts, script), `${page}: ${line}`);
  }
});

test('the page of benchmarks names every measurement, and its figures have the columns of `make bench`', (t) => {
  const text = readFileSync(join(root, 'docs/benchmarks.md'), 'utf8');
  const [, names = ''] = /^\| name \| what \|\n([\s\S]*?)\n\n/m.exec(text) ?? [];
  const listed = names.split('\n').flatMap((line) => line.split(' | ')[0]?.match(/[a-z]+/g) ?? []);
  t.deepEqual(listed.toSorted(), Object.keys(ITEMS).toSorted());
  const [, figures = ''] = /<!-- make bench: begin -->\n([\s\S]*?)<!-- make bench: end -->/.exec(text) ?? [];
  const cells = (line: string) => line.split('|').map((cell) => cell.trim());
  const [header = ''] = table([]).split('\n');
  const shown = figures.split('\n').filter((line) => line.startsWith('|'));
  t.deepEqual(cells(shown[0] ?? ''), cells(header));
  for (const line of shown) t.is(cells(line).length, cells(header).length, line);
});

test('every link to a file leads to a file', (t) => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)) {
      t.true(existsSync(join(root, dirname(page), target)), `${page}: ${target}`);
    }
  }
});

test('the table of options in the docs is the one of the program', async (t) => {
  const helps = ['agent', 'aggregator', 'list', 'wait'].map((command) =>
    execa(process.execPath, [CLI, command, '--help']),
  );
  const stdout = (await Promise.all(helps)).map((help) => help.stdout).join('\n');
  const text = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
  for (const [flag] of stdout.matchAll(/--[a-z][a-z-]+(?==)/g))
    t.true(text.includes(flag), `${flag} is not documented`);
  for (const [flag] of text.matchAll(/`--[a-z][a-z-]+/g))
    t.true(stdout.includes(flag.slice(1)), `${flag} does not exist`);
});
