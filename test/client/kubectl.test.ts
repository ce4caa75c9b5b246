/** `kubectl berth`: an aggregator behind an API server that forwards to it, as a process and with the flags of kubectl. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { eventually } from '../rpc/clusterfixture.ts';
import { mapping, NOW } from '../rpc/fixture.ts';
import { AUTHORITY, forwardingServer } from './forwardingserver.ts';
import { deadAddress, replicas } from './replicas.ts';

const CLI = join(import.meta.dirname, '../../daemon/cli.ts');

interface Kubectl {
  start(line: string): ChildProcessWithoutNullStreams;
  run(line: string): Promise<{ readonly code: number; readonly out: string; readonly err: string }>;
}

/** Of two contexts, `good` and `other`; the namespace of the first is `shop`. */
function kubectl(t: ExecutionContext, url: string): Kubectl {
  const directory = mkdtempSync(join(tmpdir(), 'kubectl-berth-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const config = join(directory, 'config');
  const trust = { 'certificate-authority-data': Buffer.from(AUTHORITY.cert).toString('base64') };
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'good',
      clusters: [
        { name: 'here', cluster: { server: url, ...trust } },
        { name: 'nowhere', cluster: { server: 'https://127.0.0.1:1', ...trust } },
      ],
      users: [
        { name: 'ann', user: { token: 'of-ann' } },
        { name: 'bob', user: { token: 'of-bob' } },
        {
          name: 'sue',
          user: {
            token: 'of-sue',
            as: 'eve',
            'as-uid': '7',
            'as-groups': ['a', 'b'],
            'as-user-extra': { scopes: ['view', 'edit'], 'acme.com/x': ['1'] },
          },
        },
        { name: 'exec', user: { exec: { apiVersion: 'v1', command: '/no/such/program' } } },
        { name: 'tim', user: { token: 'of-tim', 'as-groups': ['a'] } },
      ],
      contexts: [
        { name: 'good', context: { cluster: 'here', user: 'ann', namespace: 'shop' } },
        { name: 'other', context: { cluster: 'nowhere', user: 'bob' } },
      ],
    }),
  );
  const env = { PATH: process.env.PATH, KUBECONFIG: config, TMPDIR: directory };
  const start = (line: string) =>
    spawn(process.execPath, ['--', CLI, 'kubectl', ...line.replaceAll('$CONFIG', config).split(' ')], { env });
  return {
    start,
    run: async (line) => {
      const child = start(line);
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
      // Nothing of the forwarding is left behind.
      t.deepEqual(readdirSync(directory), ['config'], line);
      return { code, out, err };
    },
  };
}

async function cluster(t: ExecutionContext, count = 1) {
  const api = await forwardingServer(t);
  const served = await replicas(t, count);
  for (const [index, { address }] of served.each.entries()) api.pods.set(`agg-${index}`, Number(address.split(':')[1]));
  return { api, ...served, kubectl: kubectl(t, api.url) };
}

// One at a time: each starts a program that loads the client of the API server, a second's work, and it waits 5 s for a connection.
test.serial(
  'it lists the pods of the namespace of the context, through the API server, as the user of the context',
  async (t) => {
    const { api, node, kubectl } = await cluster(t);
    const bank = { namespace: 'bank', name: 'vault', uid: 'u' };
    await node('node-a', mapping('cart-0'), mapping('vault', { pod: bank, hostPort: 20_001 }));
    const { code, out, err } = await kubectl.run('list');
    t.deepEqual([code, err], [0, '']);
    t.regex(out, /^NAMESPACE .*\nshop +cart-0 .* 192\.0\.2\.10:20000 .*\n$/);
    t.deepEqual(api.asked, ['list berth-system as Bearer of-ann', 'forward berth-system/agg-0:9465 as Bearer of-ann']);
    t.regex((await kubectl.run('list -A')).out, /vault/);
    t.regex((await kubectl.run('list -n bank')).out, /^NAMESPACE .*\nbank +vault .*\n$/);
  },
);

test.serial('more than one WebSocket message can carry: 5,000 mappings come through', async (t) => {
  const { node, kubectl } = await cluster(t);
  const many = Array.from({ length: 5_000 }, (_, index) => mapping(`p-${index}`, { hostPort: 20_000 + index }));
  await node('node-a', ...many);
  t.is(JSON.parse((await kubectl.run('list -o json')).out).mappings.length, 5_000);
});

test.serial('get takes the namespace of the context, or the one that is written; nodes needs none', async (t) => {
  const { node, kubectl } = await cluster(t);
  await node('node-a', mapping('cart-0'));
  t.regex((await kubectl.run('get cart-0 web')).out, /cart-0/);
  t.regex((await kubectl.run('get shop/cart-0')).out, /cart-0/);
  t.is((await kubectl.run('get bank/cart-0')).code, 3);
  t.regex((await kubectl.run('nodes')).out, /\nnode-a +live /);
});

const EXTRA = 'extra-scopes view extra-scopes edit';
const FLAGS: readonly (readonly [string, string])[] = [
  ['--context other --cluster here', 'Bearer of-bob'],
  ['--context other --server $URL', 'Bearer of-bob'],
  ['--context other -s $URL', 'Bearer of-bob'],
  ['--user bob', 'Bearer of-bob'],
  ['--token mine', 'Bearer mine'],
  ['--as eve', 'Bearer of-ann for eve'],
  ['--user bob --as eve --token mine', 'Bearer mine for eve'],
  ['--as eve --as-group a,b --as-group Bürger --as-uid 7', 'Bearer of-ann for eve uid 7 group a,b group Bürger'],
  ['--as eve --as-user-extra k=1 --as-user-extra k=a=b', 'Bearer of-ann for eve extra-k 1 extra-k a=b'],
  ['--user sue', `Bearer of-sue for eve uid 7 group a group b ${EXTRA} extra-acme.com%2fx 1`],
  ['--user sue --token mine', `Bearer mine for eve uid 7 group a group b ${EXTRA} extra-acme.com%2fx 1`],
  [
    '--user sue --as joe --as-uid 8 --as-group c --as-user-extra acme.com/x=2',
    `Bearer of-sue for joe uid 8 group c ${EXTRA} extra-acme.com%2fx 2`,
  ],
  ['--user tim --as joe', 'Bearer of-tim for joe group a'],
  ['--kubeconfig $CONFIG --context good', 'Bearer of-ann'],
];
for (const [flags, caller] of FLAGS) {
  test.serial(`kubectl berth nodes ${flags} asks the API server as ${caller}`, async (t) => {
    const { api, kubectl } = await cluster(t);
    const { code, err } = await kubectl.run(`nodes ${flags.replace('$URL', api.url)}`);
    t.deepEqual([code, err], [0, 'berth: no node is known\n']);
    t.deepEqual(api.asked, [`list berth-system as ${caller}`, `forward berth-system/agg-0:9465 as ${caller}`]);
  });
}

test.serial('where the aggregator is, is said by flags', async (t) => {
  const { api, kubectl } = await cluster(t);
  await kubectl.run('nodes --aggregator-namespace ports --aggregator-port 7000');
  t.is(api.asked.at(-1), 'forward ports/agg-0:7000 as Bearer of-ann');
});

test.serial('a pod that does not answer is passed over', async (t) => {
  const { api, addresses, kubectl } = await cluster(t);
  api.pods.clear();
  api.pods.set('agg-0', Number((await deadAddress()).split(':')[1]));
  api.pods.set('agg-1', Number(addresses.split(':')[1]));
  const { code, err } = await kubectl.run('nodes');
  t.deepEqual([code, err], [0, 'berth: no node is known\n']);
});

test.serial('a watch goes on through another pod when its own ends', async (t) => {
  const { api, each, node, kubectl } = await cluster(t, 2);
  const { registry } = await node('node-a', mapping('cart-0'));
  const child = kubectl.start('watch -o json');
  let seen = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk;
  });
  const said = text(child.stderr);
  await eventually(() => seen.includes('"synced"'));
  api.pods.delete('agg-0');
  await each[0]?.stop();
  registry.set('node-a', mapping('cart-1', { hostPort: 20_001 }), NOW);
  await eventually(() => seen.includes('cart-1'));
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  t.is(code, 0);
  t.regex(await said, /connection lost, trying again: .*\nberth: connected again\n$/);
  t.is(seen.split('"cart-0"').length, 2, 'it is told once');
});

test.serial('wait ends when the ports are live, and prints what berth wait prints', async (t) => {
  const { api, node, kubectl } = await cluster(t);
  const bank = { namespace: 'bank', name: 'cart-0', uid: 'u' };
  await node('node-a', mapping('cart-0'), mapping('cart-0', { pod: bank, hostPort: 20_001 }));
  const lines = 'PORT_WEB=20000\nADDRESS_WEB=192.0.2.10:20000\n';
  t.deepEqual(await kubectl.run('wait pod/cart-0 --port web'), { code: 0, out: lines, err: '' });
  t.deepEqual(api.asked, ['list berth-system as Bearer of-ann', 'forward berth-system/agg-0:9465 as Bearer of-ann']);
  t.regex((await kubectl.run('wait cart-0 -n bank')).out, /^PORT_WEB=20001\n/);
  const late = await kubectl.run('wait cart-0 --port web --port admin --timeout 1s');
  t.deepEqual([late.code, late.out], [1, '']);
  t.regex(late.err, /not every one of the ports web, admin of pod "cart-0" in namespace "shop" is live after 1 s/);
});

test.serial('wait goes on through another pod when its own ends, and waits for one that can be asked', async (t) => {
  const { api, each, node, kubectl } = await cluster(t, 2);
  const { registry } = await node('node-a', mapping('cart-0'));
  const last = api.pods.get('agg-1') ?? 0;
  api.pods.delete('agg-1');
  const child = kubectl.start('wait pod/cart-1');
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  await eventually(() => each[0]?.served.watchers === 1);
  api.pods.delete('agg-0');
  await each[0]?.stop();
  // Meanwhile there is none.
  await eventually(() => api.asked.filter((one) => one.startsWith('list')).length >= 3);
  api.pods.set('agg-1', last);
  registry.set('node-a', mapping('cart-1', { hostPort: 20_001 }), NOW);
  t.deepEqual(await ended, ['PORT_WEB=20001\nADDRESS_WEB=192.0.2.10:20001\n', '', [0, null]]);
});

test.serial('wait does not wait for a right, and does not succeed when it is interrupted', async (t) => {
  const { api, each, kubectl } = await cluster(t);
  const child = kubectl.start('wait pod/cart-0');
  const [out, err] = [text(child.stdout), text(child.stderr)];
  await eventually(() => each[0]?.served.watchers === 1);
  child.kill('SIGINT');
  t.deepEqual(await once(child, 'close'), [1, null]);
  t.deepEqual([await out, await err], ['', '']);
  api.forwardStatus = 403;
  const refused = await kubectl.run('wait pod/cart-0');
  t.is(refused.code, 1);
  t.regex(refused.err, /the user may not forward to pods/);
  t.deepEqual((await kubectl.run('wait')).err, 'kubectl berth: which pod? kubectl berth wait pod/NAME\n');
  t.is((await kubectl.run('wait --all-namespaces pod/x')).code, 2);
});

test.serial('what is in the way is said: no pod, no right, no API server, no such context', async (t) => {
  const { api, kubectl } = await cluster(t);
  const failing = async (line: string, code: number, message: RegExp) => {
    const ended = await kubectl.run(line);
    t.is(ended.code, code, line);
    t.regex(ended.err, message);
    t.is(ended.out, '');
  };
  api.forwardStatus = 403;
  await failing(
    'nodes',
    1,
    /the user may not forward to pods: it needs the rights "get" and "create" of "pods\/portforward" in namespace "berth-system"\n$/,
  );
  api.pods.clear();
  await failing(
    'nodes',
    1,
    /through the API server: no pod of the aggregator can be asked: there is none in namespace "berth-system"/,
  );
  api.refusal = 'pods is forbidden: User "ann" cannot list resource "pods"';
  await failing(
    'nodes',
    1,
    /cannot be listed: pods is forbidden: User "ann" cannot list.*; the user needs the right to list pods/,
  );
  await failing(`nodes --server https://${await deadAddress()}`, 1, /cannot be listed: .*ECONNREFUSED/);
  await failing('nodes --context none', 2, /^kubectl berth: --context: the kubeconfig has no context "none"\n$/);
  await failing('nodes --user none', 2, /--user: the kubeconfig has no user "none"/);
  await failing('nodes --as-group a', 2, /groups or extras are pretended without a user: .* Give --as, or "as"/);
  await failing('nodes --user tim', 2, /pretended without a user/);
  await failing('list -A -n shop', 2, /keep one of them/);
  await failing('list --socket /s', 2, /unknown flag --socket/);
  await failing('lst', 2, /^kubectl berth: there is no command "lst"/);
  await failing('--context good list', 2, /^kubectl berth: "--context" stands behind a command; /);
  await failing('wait cart-0 -o json', 2, /^kubectl berth: unknown flag -o; see --help\n$/);
});

test.serial(
  'an API server that answers nothing is given up after --request-timeout, for each connection',
  async (t) => {
    const { api, kubectl } = await cluster(t);
    api.silent = true;
    const { code, err } = await kubectl.run('nodes --request-timeout 200ms');
    t.is(code, 1);
    t.regex(err, /cannot be listed: no answer within the 0\.2 s of --request-timeout\n$/);
    // gRPC may have begun once more meanwhile.
    t.true(api.asked.length >= 2);
  },
);

test.serial('an interruption ends it at once, though the API server answers nothing', async (t) => {
  const { api, kubectl } = await cluster(t);
  api.silent = true;
  const child = kubectl.start('list');
  const said = text(child.stderr);
  await eventually(() => api.asked.length === 1);
  child.kill('SIGINT');
  t.deepEqual(await once(child, 'close'), [1, null]);
  t.is(await said, '');
});

test.serial('a program that has no credentials is told of at once', async (t) => {
  const { api, kubectl } = await cluster(t);
  const { code, err } = await kubectl.run('nodes --user exec');
  t.is(code, 1);
  t.regex(err, /there are no credentials of the user "exec" for the API server: spawn .*ENOENT\n$/);
  t.deepEqual(api.asked, []);
});

test.serial('help tells the commands, and the flags of kubectl', async (t) => {
  const { kubectl } = await cluster(t);
  t.regex((await kubectl.run('--help')).out, /usage: kubectl berth COMMAND/);
  const { out } = await kubectl.run('list --help');
  for (const flag of [
    'kubeconfig',
    'context',
    'cluster',
    'user',
    'server',
    'token',
    'as',
    'as-group',
    'as-uid',
    'as-user-extra',
    'request-timeout',
    'namespace',
    'all-namespaces',
  ])
    t.true(out.includes(`--${flag}`), flag);
});
