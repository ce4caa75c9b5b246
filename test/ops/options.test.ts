import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type AgentOptions, readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import { readOptions } from '../../daemon/ops/options.ts';
import { flagOf, type OptionTable, type Sources, type Values, variableOf } from '../../daemon/ops/optiontable.ts';
import { duration, integer, nodeName, oneOf, truth } from '../../daemon/ops/values.ts';

const HOST = 'Node-7';

interface Given {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly others?: readonly OptionTable[];
}

function read({ argv = ['--pods=dir:/pods'], ...rest }: Given): AgentOptions {
  const command = readAgentOptions({ env: {}, ...rest, argv }, HOST);
  if (command.kind !== 'run') throw new Error('help was asked for');
  return command.options;
}

function help(): string {
  const command = readAgentOptions({ argv: ['--help'], env: {} }, HOST);
  return command.kind === 'help' ? command.text : '';
}

function temporary(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-options-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** The path of a YAML file with this content. */
function fileOf(t: ExecutionContext, text: string): string {
  const path = join(temporary(t), 'agent.yaml');
  writeFileSync(path, text);
  return path;
}

function refused(t: ExecutionContext, given: Given, message: string | RegExp): void {
  t.throws(() => read(given), { name: 'BerthError', code: 'CONFIG_INVALID', message });
}

test('without anything but the source of pods the defaults hold', (t) => {
  t.deepEqual(read({}), {
    pods: { kind: 'dir', path: '/pods' },
    kubeconfig: undefined,
    reconnectCapMs: 30_000,
    nodeName: 'node-7',
    nodeLabels: {},
    stateDir: '/var/lib/berth',
    socket: '/run/berth/agent.sock',
    pools: [{ name: 'default', ranges: [{ first: 20_000, last: 29_999 }], maxPortsPerPod: 64, quarantineMs: 60_000 }],
    poolsFile: undefined,
    nodePortRange: { first: 30_000, last: 32_767 },
    procSys: '/proc/sys',
    staticHostPorts: false,
    hostAddresses: undefined,
    aggregator: undefined,
    aggregatorCA: undefined,
    aggregatorServerName: undefined,
    aggregatorToken: undefined,
    aggregatorCert: undefined,
    aggregatorKey: undefined,
    metricsAddress: { host: '127.0.0.1', port: 9464, loopback: true },
    metricsCert: undefined,
    metricsKey: undefined,
    insecureMetrics: false,
    logLevel: 'info',
    logFormat: 'json',
    nftTransport: 'netlink',
    maxSockets: 20_000,
    fullPassIntervalMs: 60_000,
  });
});

test('a flag wins over the environment, the environment over the file, the file over the default', (t) => {
  const config = fileOf(t, 'nodeName: file\nlogLevel: warn\nmaxSockets: 7\n');
  const env = { BERTH_NODE_NAME: 'environment', BERTH_LOG_LEVEL: 'error', BERTH_CONFIG: config };
  const options = read({ argv: ['--pods=dir:/pods', '--node-name=flag'], env });
  t.is(options.nodeName, 'flag');
  t.is(options.logLevel, 'error');
  t.is(options.maxSockets, 7);
  t.is(options.logFormat, 'json');
});

test('every option can stand in the file', (t) => {
  const config = fileOf(
    t,
    `pods: dir:/pods
kubeconfig: /kubeconfig
reconnectCap: 10s
nodeName: "0123"
nodeLabels: { disk: ssd, zone: "1" }
stateDir: /state
socket: /socket
pools:
  - name: games
    ranges: 7000-7999
nodePortRange: 31000-31999
procSys: /host/proc/sys
staticHostPorts: true
hostAddresses: [192.0.2.7, "2001:db8::/32"]
aggregator: ["dns:///berth-aggregator.berth.svc:9465", "192.0.2.1:9465", "[2001:db8::1]:9465"]
aggregatorCA: /tls/ca.crt
aggregatorServerName: Berth-Aggregator.berth.svc
aggregatorToken: /tls/token
aggregatorCert: /tls/tls.crt
aggregatorKey: /tls/tls.key
metricsAddress: "[::1]:0"
metricsCert: /tls/metrics.crt
metricsKey: /tls/metrics.key
insecureMetrics: true
logLevel: debug
logFormat: text
nftTransport: nft
maxSockets: 100
fullPassInterval: 1m30s
`,
  );
  t.deepEqual(read({ argv: ['--config', config] }), {
    pods: { kind: 'dir', path: '/pods' },
    kubeconfig: '/kubeconfig',
    reconnectCapMs: 10_000,
    nodeName: '0123',
    nodeLabels: { disk: 'ssd', zone: '1' },
    stateDir: '/state',
    socket: '/socket',
    pools: [{ name: 'games', ranges: [{ first: 7_000, last: 7_999 }], maxPortsPerPod: 64, quarantineMs: 60_000 }],
    poolsFile: undefined,
    nodePortRange: { first: 31_000, last: 31_999 },
    procSys: '/host/proc/sys',
    staticHostPorts: true,
    hostAddresses: [
      { family: 4, text: '192.0.2.7/32' },
      { family: 6, text: '2001:db8::/32' },
    ],
    aggregator: [
      { host: 'berth-aggregator.berth.svc', port: 9465, literal: false },
      { host: '192.0.2.1', port: 9465, literal: true },
      { host: '2001:db8::1', port: 9465, literal: true },
    ],
    aggregatorCA: '/tls/ca.crt',
    aggregatorServerName: 'berth-aggregator.berth.svc',
    aggregatorToken: '/tls/token',
    aggregatorCert: '/tls/tls.crt',
    aggregatorKey: '/tls/tls.key',
    metricsAddress: { host: '::1', port: 0, loopback: true },
    metricsCert: '/tls/metrics.crt',
    metricsKey: '/tls/metrics.key',
    insecureMetrics: true,
    logLevel: 'debug',
    logFormat: 'text',
    nftTransport: 'nft',
    maxSockets: 100,
    fullPassIntervalMs: 90_000,
  });
});

test('an address beyond loopback is known as one, also when it is written to look otherwise', (t) => {
  for (const [address, loopback] of [
    ['127.0.0.1:1', true],
    ['127.1.2.3:1', true],
    ['[::1]:1', true],
    ['0.0.0.0:1', false],
    ['[::]:1', false],
    ['192.0.2.1:1', false],
    ['[::ffff:127.0.0.1]:1', false],
  ] as const) {
    t.is(
      read({ argv: ['--pods=dir:/pods', `--metrics-address=${address}`] }).metricsAddress.loopback,
      loopback,
      address,
    );
  }
});

test('lists may be given in one flag or several, and in one variable', (t) => {
  const argv = ['--pods=dir:/pods', '--node-labels=a=1,b=2', '--node-labels', 'c=3'];
  t.deepEqual(read({ argv }).nodeLabels, { a: '1', b: '2', c: '3' });
  t.deepEqual(read({ env: { BERTH_NODE_LABELS: 'a=1, b=' } }).nodeLabels, { a: '1', b: '' });
});

test('pools are repeated as flags and separated by a semicolon in the variable', (t) => {
  const flags = read({ argv: ['--pods=dir:/pods', '--pool=a=2000-2999,4000', '--pool=b=5000-5999'] });
  const variable = read({ env: { BERTH_POOL: 'a=2000-2999,4000; b=5000-5999' } });
  t.deepEqual(
    flags.pools.map(({ name, ranges }) => [name, ranges]),
    [
      [
        'a',
        [
          { first: 2_000, last: 2_999 },
          { first: 4_000, last: 4_000 },
        ],
      ],
      ['b', [{ first: 5_000, last: 5_999 }]],
    ],
  );
  t.deepEqual(variable.pools, flags.pools);
});

test('pools of the file of --pools-file take the place of the default pool', (t) => {
  const path = fileOf(t, 'pools: [{ name: games, ranges: 7000-7999 }]');
  const options = read({ env: { BERTH_POOLS_FILE: path } });
  t.is(options.poolsFile, path);
  t.deepEqual(
    options.pools.map(({ name }) => name),
    ['games'],
  );
});

test('of a scalar flag that is given twice the last one counts', (t) => {
  t.deepEqual(read({ argv: ['--pods=dir:/a', '--pods=dir:/b'] }).pods, { kind: 'dir', path: '/b' });
});

test('a variable that is empty is not set', (t) => {
  t.is(read({ env: { BERTH_HOST_ADDRESSES: '', BERTH_LOG_LEVEL: '' } }).logLevel, 'info');
});

test('a key without a value in the file is not set', (t) => {
  t.is(read({ argv: ['--pods=dir:/p', `--config=${fileOf(t, 'logLevel:\n')}`] }).logLevel, 'info');
});

test('pods come from the API server when that is said', (t) => {
  t.deepEqual(read({ argv: ['--pods=kubernetes'] }).pods, { kind: 'kubernetes' });
});

const REFUSED: readonly (readonly [what: string, given: Given, message: RegExp])[] = [
  ['no source of pods', { argv: [] }, /^--pods is required: Where pods come from/],
  [
    'a source of pods that does not exist',
    { argv: ['--pods=docker'] },
    /^--pods: "docker" is neither dir:PATH nor kubernetes/,
  ],
  ['a relative directory', { argv: ['--pods=dir:pods'] }, /^--pods: "pods" is not an absolute path/],
  ['an unknown flag', { argv: ['--nodename=x'] }, /^unknown flag --nodename \(did you mean --node-name\?\)/],
  ['a flag that is like no other', { argv: ['--xyzzy'] }, /^unknown flag --xyzzy; see --help/],
  ['an unknown variable', { env: { BERTH_NODENAME: 'x' } }, /BERTH_NODENAME \(did you mean BERTH_NODE_NAME\?\)/],
  ['an argument without a flag', { argv: ['pods'] }, /^unexpected argument "pods"/],
  ['an argument behind --', { argv: ['--', 'pods'] }, /^unexpected argument "pods"/],
  ['a flag without its value', { argv: ['--pods'] }, /^--pods needs a value: --pods=dir:PATH/],
  ['a flag in place of a value', { argv: ['--pods', '--node-name=x'] }, /^--pods needs a value/],
  ['an empty value', { argv: ['--pods=dir:/p', '--socket='] }, /^--socket: "" is not an absolute path/],
  [
    'a word for a number',
    { env: { BERTH_MAX_SOCKETS: 'many' } },
    /^BERTH_MAX_SOCKETS: "many" is not a whole number from 1/,
  ],
  [
    'a number with an exponent',
    { env: { BERTH_MAX_SOCKETS: '1e3' } },
    /^BERTH_MAX_SOCKETS: "1e3" is not a whole number/,
  ],
  ['a number out of bounds', { env: { BERTH_MAX_SOCKETS: '0' } }, /from 1 to 1000000/],
  [
    'a duration without a unit',
    { env: { BERTH_FULL_PASS_INTERVAL: '60' } },
    /"60" is not a duration from 1s to 1h, such as/,
  ],
  ['a duration that is too short', { env: { BERTH_FULL_PASS_INTERVAL: '999ms' } }, /from 1s to 1h/],
  [
    'an unknown level',
    { env: { BERTH_LOG_LEVEL: 'trace' } },
    /^BERTH_LOG_LEVEL: "trace" is none of debug, info, warn, error/,
  ],
  ['a certificate for metrics without its key', { env: { BERTH_METRICS_CERT: '/crt' } }, /belong together/],
  ['metrics on a name', { env: { BERTH_METRICS_ADDRESS: 'localhost:9464' } }, /is not ADDRESS:PORT/],
  ['a path that no socket can have', { env: { BERTH_SOCKET: `/${'s'.repeat(107)}` } }, /longer than 101 bytes/],
  ['a label without a value', { env: { BERTH_NODE_LABELS: 'disk' } }, /"disk" is not KEY=VALUE/],
  ['a label given twice', { env: { BERTH_NODE_LABELS: 'a=1,a=2' } }, /the label a is given twice/],
  [
    'a range with host bits',
    { env: { BERTH_HOST_ADDRESSES: '192.0.2.7/24' } },
    /write 192\.0\.2\.0\/24 for the range or 192\.0\.2\.7/,
  ],
  [
    'a name that is no node',
    { env: { BERTH_NODE_NAME: 'Node_7' } },
    /^BERTH_NODE_NAME: "Node_7" is not the name of a node/,
  ],
  [
    'a pool over the NodePorts',
    { env: { BERTH_POOL: 'a=29000-30100' } },
    /^pool a: 29000-30100 overlaps .* 30000-32767: choose .* --node-port-range/,
  ],
  ['control characters', { env: { BERTH_LOG_LEVEL: '\u001b[31m' } }, /"\\x1b\[31m" is none of/],
  ['a file that is not there', { argv: ['--config=/nonexistent.yaml'] }, /^\/nonexistent\.yaml cannot be read: ENOENT/],
  ['a file that is a directory', { argv: ['--config=/'] }, /^\/ cannot be read: it is not a regular file/],
];

for (const [what, given, message] of REFUSED) {
  test(`${what} is refused, with what would be right`, (t) => {
    refused(t, given, message);
  });
}

const REFUSED_FILES: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  [
    'an unknown key',
    'node-name: x',
    /agent\.yaml: the key node-name is not known \(did you mean nodeName\?\); known keys: pods, /,
  ],
  ['a file that names another one', 'config: /etc/other.yaml', /the key config is not known/],
  [
    'a number where a text is meant',
    'nodeName: 0123',
    /^nodeName in .*agent\.yaml: it must be a text: put it in quotes/,
  ],
  ['a list where a text is meant', 'logLevel: [info]', /^logLevel in .*: it must be a text/],
  ['a duration without a unit in the file', 'fullPassInterval: 60', /^fullPassInterval in .*: "60" is not a duration/],
  ['a mapping where a list is meant', 'hostAddresses: {}', /it must be a list of texts/],
  [
    'a label that is a number',
    'nodeLabels: { zone: 1 }',
    /the label zone has no text as its value: write it in quotes, zone: "1"/,
  ],
  ['a key given twice', 'logLevel: info\nlogLevel: warn', /is not valid YAML: Map keys must be unique/],
  ['a list at the top', '- a', /must hold keys and values/],
  ['a tag', 'logLevel: !!js/function "x"', /is not valid YAML/],
  ['two documents', 'logLevel: info\n---\nlogLevel: warn', /is not valid YAML/],
  ['a file that is too large', '#'.repeat(70_000), /larger than 65536 bytes/],
  [
    'an alias bomb',
    `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefg'].map((key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdef'[i]}`).join()}]`).join('\n')}`,
    /is not valid YAML: Excessive alias count/,
  ],
];

for (const [what, text, message] of REFUSED_FILES) {
  test(`${what} is refused in the file`, (t) => {
    refused(t, { argv: ['--pods=dir:/pods', `--config=${fileOf(t, text)}`] }, message);
  });
}

test('pools in two places are refused, and both places are named', (t) => {
  const pools = fileOf(t, 'pools: [{ name: games, ranges: 7000-7999 }]');
  refused(
    t,
    { argv: ['--pods=dir:/p', `--pools-file=${pools}`], env: { BERTH_POOL: 'a=2000' } },
    /^BERTH_POOL and --pools-file both say/,
  );
  refused(
    t,
    { argv: ['--pods=dir:/p', `--pools-file=${pools}`, `--config=${pools}`] },
    /^pools in .* and --pools-file both say/,
  );
});

test('a file is read through the links of a mounted ConfigMap', (t) => {
  const directory = temporary(t);
  writeFileSync(join(directory, 'real'), 'logLevel: warn');
  symlinkSync('real', join(directory, 'agent.yaml'));
  t.is(read({ argv: ['--pods=dir:/p', `--config=${join(directory, 'agent.yaml')}`] }).logLevel, 'warn');
});

test('what Kubernetes adds for a Service called berth-something is no unknown variable', (t) => {
  const env = {
    BERTH_SERVICE_HOST: '10.0.0.1',
    BERTH_PORT: 'tcp://10.0.0.1:443',
    BERTH_AGGREGATOR_SERVICE_PORT: '443',
    BERTH_AGGREGATOR_SERVICE_PORT_GRPC: '443',
    BERTH_AGGREGATOR_PORT_443_TCP: 'tcp://10.0.0.1:443',
    BERTH_AGGREGATOR_PORT_443_TCP_ADDR: '10.0.0.1',
  };
  t.is(read({ env }).logLevel, 'info');
});

const OTHER = {
  output: { type: 'string', value: 'FORMAT', parse: oneOf(['table']), help: 'How it looks.' },
  pod: { type: 'string', value: 'NAME', parse: String, flagOnly: true, help: 'Which pod.' },
} as const satisfies OptionTable;

test('variables and keys of the other programs are ignored, whatever they say; those of other people too', (t) => {
  const path = fileOf(t, 'output: [nonsense]\nlogLevel: warn');
  const env = { BERTH_OUTPUT: 'nonsense', BERTH_CONFIG: path, PATH: '/bin' };
  t.is(read({ env, others: [OTHER] }).logLevel, 'warn');
});

test('what no program knows stays an error, and so does a question of one call that stands among the settings', (t) => {
  refused(t, { env: { BERTH_OUTPTU: 'json' }, others: [OTHER] }, /^unknown environment variable BERTH_OUTPTU/);
  refused(t, { env: { BERTH_POD: 'x' }, others: [OTHER] }, /^unknown environment variable BERTH_POD \(did you mean/);
  const pod = fileOf(t, 'pod: x');
  refused(t, { env: { BERTH_CONFIG: pod }, others: [OTHER] }, /the key pod is not known \(did you mean pods\?\)/);
  const own = readTable(OTHER, { argv: ['--pod=x'], env: {} });
  t.deepEqual(own, { output: undefined, pod: 'x' });
  t.throws(() => readTable(OTHER, { argv: [], env: { BERTH_POD: 'x' } }), { message: /^unknown environment variable/ });
});

function readTable<const Table extends OptionTable>(table: Table, sources: Sources): Values<Table> | undefined {
  const found = readOptions(table, sources);
  return found.kind === 'values' ? found.values : undefined;
}

const TABLE = {
  fast: { type: 'boolean', value: '', default: 'false', parse: truth, help: 'Is fast.' },
  tries: { type: 'integer', value: 'N', parse: integer(0, 9), help: 'How often.' },
  config: { type: 'string', value: 'FILE', parse: String, help: 'The file.' },
} as const satisfies OptionTable;

test('a boolean is set by its bare flag, and can be taken back', (t) => {
  const fast = (argv: readonly string[], env = {}) => {
    const found = readOptions(TABLE, { argv, env });
    return found.kind === 'values' ? found.values.fast : undefined;
  };
  t.false(fast([]));
  t.true(fast(['--fast']));
  t.false(fast(['--fast=false'], { BERTH_FAST: 'true' }));
  t.true(fast([], { BERTH_FAST: 'true' }));
  t.true(fast([`--config=${fileOf(t, 'fast: true\ntries: 3')}`]));
  t.throws(() => fast(['--fast=yes']), { message: '--fast: "yes" is none of true, false' });
  t.throws(() => fast([`--config=${fileOf(t, 'fast: "true"')}`]), { message: /it must be true or false/ });
});

test('an option without a default that is not given is undefined, and where one was given is known', (t) => {
  const found = readOptions(TABLE, { argv: ['--fast'], env: {} });
  t.is(found.kind === 'values' ? found.values.tries : 0, undefined);
  t.deepEqual(found.kind === 'values' && [...found.origins], [['fast', '--fast']]);
});

test('the key tells the flag and the variable', (t) => {
  const option = { type: 'string', value: 'X', parse: String, help: '' } as const;
  t.is(flagOf('nodePortRange', option), 'node-port-range');
  t.is(variableOf('nodePortRange', option), 'BERTH_NODE_PORT_RANGE');
  t.is(variableOf('pools', { ...option, flag: 'pool' }), 'BERTH_POOL');
});

test('--help names every flag and variable once, in at most 100 columns', (t) => {
  const text = help();
  const flags = [...text.matchAll(/^ {2}--([a-z-]+)=/gm)].map(([, flag]) => flag);
  t.deepEqual(flags, [...new Set(flags)]);
  t.is(flags.length, 27);
  for (const flag of flags) t.true(text.includes(`[BERTH_${flag?.replaceAll('-', '_').toUpperCase()}`), flag);
  t.true(text.split('\n').every((line) => line.length <= 100 && line === line.trimEnd()));
  t.true(text.includes('--node-name=NAME [BERTH_NODE_NAME; default: node-7]'));
});

test('-h is --help, whatever else is wrong', (t) => {
  t.is(readAgentOptions({ argv: ['--bogus', '-h'], env: { BERTH_X: '' } }, HOST).kind, 'help');
});

test('a host name that no node can have is refused, and the flag is named', (t) => {
  t.throws(() => readAgentOptions({ argv: ['--pods=dir:/p'], env: {} }, 'my_host'), {
    code: 'CONFIG_INVALID',
    message: /^the default of --node-name: "my_host" is not the name of a node/,
  });
});

test('durations add up their units', (t) => {
  const parse = duration('0s', '24h');
  t.deepEqual(
    ['0s', '500ms', '60s', '1m30s', '2h', '1h1m1s1ms'].map(parse),
    [0, 500, 60_000, 90_000, 7_200_000, 3_661_001],
  );
  for (const text of ['', '1', 's', '-1s', '1.5s', '1 s', '1d', '1s ', '25h'])
    t.throws(() => parse(text), undefined, text);
});

test('the name of a node is a DNS subdomain', (t) => {
  for (const name of ['a', 'node-1', 'ip-10-0-0-1.eu-west-1.compute.internal', '7']) t.is(nodeName(name), name);
  for (const name of ['', '-a', 'a-', 'a..b', 'A', 'a_b', 'a'.repeat(254)])
    t.throws(() => nodeName(name), undefined, name);
});

test('a token or a certificate for aggregators is refused without the authority that TLS needs', (t) => {
  const only = 'a token or certificate is shown only over TLS: give --aggregator-ca too';
  const pods = '--pods=dir:/pods';
  refused(t, { argv: [pods, '--aggregator-token=/token'] }, only);
  refused(t, { argv: [pods, '--aggregator-cert=/crt', '--aggregator-key=/key'] }, only);
  refused(t, { argv: [pods, '--aggregator-ca=/ca', '--aggregator-cert=/crt'] }, /belong together/);
});
