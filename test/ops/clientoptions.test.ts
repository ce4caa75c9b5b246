import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import { CLIENT_TABLE, CLIENT_TABLES, type ClientName, readClientOptions } from '../../daemon/ops/clientoptions.ts';
import { readDoctorOptions } from '../../daemon/ops/doctor/options.ts';
import { flagOf, type Sources } from '../../daemon/ops/optiontable.ts';
import { EVERY_TABLE } from '../../daemon/ops/programs.ts';

type Env = Sources['env'];

function read(line: string, env: Env = {}) {
  const [name, ...argv] = line.split(' ') as [ClientName, ...string[]];
  const command = readClientOptions(name, { argv, env, others: EVERY_TABLE });
  if (command.kind === 'help') throw new Error('help was asked for');
  return command;
}

function fileOf(t: ExecutionContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-client-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'berth.yaml'), text);
  return join(directory, 'berth.yaml');
}

test('settings come from the flag, the environment, the file, the default, in this order', (t) => {
  const path = fileOf(t, 'output: yaml\nnamespace: file\nsocket: /file.sock');
  const env = { BERTH_CONFIG: path, BERTH_NAMESPACE: 'env', BERTH_OUTPUT: 'json' };
  const { output, namespace, ask } = read('list -o wide', env).options;
  t.deepEqual([output, namespace, ask], ['wide', 'env', { kind: 'agent', socket: '/file.sock' }]);
  t.is(read('get a/b').options.output, 'table');
  t.deepEqual(read('get a/b').options.ask, { kind: 'agent', socket: '/run/berth/agent.sock' });
  t.is(read(`list --config ${path}`).options.namespace, 'file');
});

test('an empty namespace on the command line takes back what is set elsewhere', (t) => {
  t.is(read('list --namespace=', { BERTH_NAMESPACE: 'shop' }).options.namespace, undefined);
});

test('what is looked for is asked on the command line alone: BERTH_POOL and pools are the pools of the agent', (t) => {
  const path = fileOf(t, 'pools: [{ name: games, ranges: 7000-7999 }]');
  const env = { BERTH_CONFIG: path, BERTH_POOL: 'games=7000-7999' };
  t.is(read('list', env).options.pool, undefined);
  t.is(read('list --pool games', env).options.pool, 'games');
  for (const name of ['POD', 'NODE', 'PROTOCOL'])
    t.throws(() => read('list', { [`BERTH_${name}`]: 'x' }), { message: /^unknown environment variable/ }, name);
});

test('options and arguments may be mixed', (t) => {
  const { options, positionals } = read('get -n shop cart-0 -ojson web');
  t.deepEqual([options.namespace, options.output, positionals], ['shop', 'json', ['cart-0', 'web']]);
});

test('whom to ask: of --socket and --aggregator the nearer counts', (t) => {
  const kind = (line: string, env?: Env) => read(line, env).options.ask.kind;
  const aggregator = { BERTH_AGGREGATOR: '127.0.0.1:1' };
  t.is(kind('list --aggregator 127.0.0.1:1'), 'aggregator');
  t.is(kind('list', aggregator), 'aggregator');
  t.is(kind('list --socket /s', aggregator), 'agent');
  t.is(kind('list --aggregator 127.0.0.1:1', { BERTH_SOCKET: '/s' }), 'aggregator');
  t.throws(() => kind('list', { ...aggregator, BERTH_SOCKET: '/s' }), {
    message: 'BERTH_AGGREGATOR and BERTH_SOCKET both say whom to ask: keep one of them',
  });
});

test('where an agent is configured, its aggregator is where it reports to, not whom a client asks', (t) => {
  const path = fileOf(t, 'pods: kubernetes\naggregator: [127.0.0.1:1]\naggregatorCA: /ca');
  t.is(read(`list --config ${path}`).options.ask.kind, 'agent');
  t.is(read('list', { BERTH_PODS: 'kubernetes', BERTH_AGGREGATOR: '127.0.0.1:1' }).options.ask.kind, 'agent');
  t.is(read('list --aggregator [::1]:1', { BERTH_PODS: 'kubernetes' }).options.ask.kind, 'aggregator');
});

test('plaintext goes to loopback alone, unless it is allowed', (t) => {
  for (const near of ['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1', 'dns:///localhost:1'])
    t.notThrows(() => read(`list --aggregator ${near}`), near);
  for (const far of ['192.0.2.1:1', 'localhost.example:1', 'berth:1', '127.0.0.1:1,192.0.2.1:1', '[2001:db8::1]:1']) {
    t.throws(
      () => read(`list --aggregator ${far}`),
      { message: /is not loopback and would be asked in plaintext/ },
      far,
    );
    t.notThrows(() => read(`list --aggregator ${far} --insecure-aggregator`), far);
    t.notThrows(() => read(`list --aggregator ${far} --aggregator-ca /ca`), far);
  }
});

const WRONG: readonly (readonly [line: string, message: RegExp, env?: Env])[] = [
  ['get a/b -o xml', /^-o: "xml" is none of table, wide, json, yaml$/],
  ['list', /^BERTH_OUTPUT: "xml" is none of/, { BERTH_OUTPUT: 'xml' }],
  ['list --outptu json', /^unknown flag --outptu \(did you mean --output\?\); see --help$/],
  ['get --pod x', /^unknown flag --pod/],
  ['nodes', /^which aggregator\? give its address with --aggregator=HOST:PORT$/],
  ['nodes --socket /s', /^unknown flag --socket/],
  ['list --aggregator somewhere', /^--aggregator: "somewhere" is not HOST:PORT/],
  ['list --aggregator [::1]:1 --aggregator-token /t', /^a token or certificate is shown only over TLS/],
  ['list --aggregator [::1]:1 --aggregator-ca /c --aggregator-key /k', /belong together: give both or neither$/],
  ['list -n', /^-n needs a value: -n=NAME$/],
  ['list -n Shop', /^-n: "Shop" is not a DNS label/],
  ['list', /^unknown environment variable BERTH_OUTPTU \(did you mean BERTH_OUTPUT\?\)/, { BERTH_OUTPTU: 'x' }],
];
for (const [line, message, env] of WRONG) {
  test(`berth ${line} ${JSON.stringify(env ?? '')} is refused: ${message.source}`, (t) => {
    t.throws(() => read(line, env), { code: 'CONFIG_INVALID', message });
  });
}

/** Every variable that the help of a program advertises, with a value that is good for that program. */
const HELPS: Readonly<Record<string, (sources: Sources) => { readonly kind: string; readonly text?: string }>> = {
  agent: (sources) => readAgentOptions(sources, 'node'),
  doctor: (sources) => readDoctorOptions(sources, 'node'),
  get: (sources) => readClientOptions('get', sources),
  list: (sources) => readClientOptions('list', sources),
  watch: (sources) => readClientOptions('watch', sources),
  nodes: (sources) => readClientOptions('nodes', { ...sources, argv: ['--aggregator=[::1]:1', ...sources.argv] }),
};

for (const [name, program] of Object.entries(HELPS)) {
  test(`berth ${name} refuses no variable and no key that the help of another program names`, (t) => {
    const helps = Object.values(HELPS).map((other) => other({ argv: ['--help'], env: {} }).text ?? '');
    const variables = new Set(helps.flatMap((text) => text.match(/BERTH_[A-Z_]+/g) ?? []));
    t.true(variables.has('BERTH_OUTPUT') && variables.has('BERTH_PODS'));
    const argv = name === 'agent' ? ['--pods=dir:/pods'] : [];
    for (const variable of variables) {
      const refused = t.throws(() => {
        program({ argv, env: { [variable]: '\u0000' }, others: EVERY_TABLE });
        throw new Error('accepted, or passed over');
      });
      t.notRegex(refused?.message ?? '', /unknown/, variable);
    }
    for (const table of EVERY_TABLE)
      for (const key of Object.keys(table).filter(
        (one) => one !== 'config' && !table[one]?.flagOnly && !table[one]?.noKey,
      ))
        t.notThrows(() => {
          const config = fileOf(t, `${key}: null`);
          program({ argv: [...argv, `--config=${config}`], env: {}, others: EVERY_TABLE });
        }, key);
  });
}

for (const name of ['get', 'list', 'watch'] as const) {
  test(`berth ${name} --help tells every option that there is`, (t) => {
    const command = readClientOptions(name, { argv: ['-h'], env: {} });
    const help = command.kind === 'help' ? command.text : '';
    for (const [key, option] of Object.entries(CLIENT_TABLE).filter(
      ([key]) => name !== 'get' || Object.hasOwn(CLIENT_TABLES.get, key),
    ))
      t.regex(help, new RegExp(`--${flagOf(key, option)}\\b`));
    t.regex(
      help,
      name === 'get' ? /3\s+when\s+the\s+pod\s+has\s+no\s+such\s+mapping/ : /2\s+for\s+a\s+wrong\s+command\s+line\./,
    );
    t.true(help.includes('-n, --namespace=NAME [BERTH_NAMESPACE]'));
    t.false(help.includes('BERTH_POOL'));
  });
}
