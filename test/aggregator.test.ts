/** `berth aggregator` as a process, with an API server beside it: what it opens, who gets in, and what it never says. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request } from 'node:https';
import { Client, credentials } from '@grpc/grpc-js';
import test from 'ava';
import { MappingRegistry } from '../daemon/core/registry.ts';
import { grpcConnector } from '../daemon/rpc/reportconnector.ts';
import { targetNameOptions, tlsCredentials } from '../daemon/rpc/tls/channel.ts';
import { MappingService } from '../proto/service.ts';
import { NAME, running } from './aggregatorprocess.ts';
import { only, resourcesOf, rightFor, rightsOf } from './deploy/manifests.ts';
import { agent, eventually } from './rpc/clusterfixture.ts';
import { mapping, NOW } from './rpc/fixture.ts';
import { outcome } from './rpc/tls/secured.ts';

const SECRET = `secrets/berth-system/${NAME}`;

/** The listening sockets of a process, as `127.0.0.1`, `0.0.0.0` or `::`, from the kernel's own tables. */
function listeningAt(pid: number | undefined): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  const rows = ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((row) => [table, ...row.trim().split(/\s+/)] as const),
  );
  return rows
    .filter(
      ([table, , , , state, , , , , , inode]) => inodes.has(inode ?? '') && (state === '0A' || table.startsWith('udp')),
    )
    .map(([table, , local]) => `${table} ${local?.split(':')[0]}`)
    .sort();
}

/** The rights that an aggregator with a secure door has used in the tests of this file. */
const used = new Set<string>();

const LOOPBACK = 'tcp 0100007F';
const ANYWHERE = 'tcp 00000000';

test.serial('V13: by default an aggregator listens on loopback alone: gRPC and metrics', async (t) => {
  const { child, server } = await running(t);
  t.deepEqual(listeningAt(child.pid), [LOOPBACK, LOOPBACK]);
  // On which nodes agents run, and nothing else.
  await eventually(() => server.asked.length > 0);
  t.true(server.asked.every(({ method, path }) => method === 'GET' && path === '/api/v1/namespaces/berth-system/pods'));
});

test.serial(
  'nobody is asked which nodes there are without review of tokens: there is no API server then',
  async (t) => {
    const { addresses, server } = await running(t, '--review-tokens=false');
    const client = new Client(addresses[0] ?? '', credentials.createInsecure());
    t.teardown(() => client.close());
    t.is(await outcome(client, MappingService.list, {}), 'OK');
    t.is(server.asked.length, 0);
  },
);

test.serial(
  'without --secure-listen too a replica is ready once every node with an agent has reported, and not before',
  async (t) => {
    const { addresses, server, logged } = await running(t, '--ready-after=10m');
    const [address = ''] = addresses;
    const put = (node: string) => {
      const labels = { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/component': 'agent' };
      const metadata = {
        name: `agent-${node}`,
        namespace: 'berth-system',
        uid: `uid-${node}`,
        annotations: {},
        labels,
      };
      server.store.put({ metadata, spec: { nodeName: node }, status: { phase: 'Running' } });
    };
    put('node-a');
    put('node-b');
    agent(t, [address], { node: 'node-a' });
    await eventually(() => logged('agent') !== undefined);
    const client = new Client(address, credentials.createInsecure());
    t.teardown(() => client.close());
    t.regex(await outcome(client, MappingService.list, {}), /^UNAVAILABLE this aggregator has just started/);
    agent(t, [address], { node: 'node-b' });
    await eventually(() => logged('ready') !== undefined);
    t.is(await outcome(client, MappingService.list, {}), 'OK');
  },
);

test.serial(
  'V13, V18: metrics beyond loopback are guarded: TLS, and a token whose owner may get the path',
  async (t) => {
    const { child, server, metrics, lines, stop } = await running(t, '--aggregator-metrics-address=0.0.0.0:0');
    t.deepEqual(listeningAt(child.pid), [ANYWHERE, LOOPBACK]);
    const bundle = () => server.store.data.get(`configmaps/berth-system/${NAME}`)?.data?.['ca.crt'];
    await eventually(() => bundle() !== undefined);
    const { tokens } = server.store;
    tokens.set('canary-prometheus', {
      user: { username: 'prometheus' },
      audiences: ['https://kubernetes.default.svc'],
    });
    tokens.set('canary-ann', { user: { username: 'ann' }, audiences: ['berth'] });
    server.store.allows = ({ user, nonResourceAttributes: of }) =>
      user === 'prometheus' && of?.verb === 'get' && of.path === '/metrics';
    const get = async (path: string, token?: string) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly [number | undefined, string]>();
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const options = { host: '127.0.0.1', port: metrics, path, headers, agent: false };
      request({ ...options, ca: bundle(), servername: 'berth-aggregator.berth-system.svc' }, async (response) => {
        resolve([response.statusCode, (await response.toArray()).join('')]);
      })
        .once('error', reject)
        .end();
      return await promise;
    };
    // Until the certificate of the authority is shown, one is that nobody can check.
    let answer = await get('/metrics').catch(() => undefined);
    while (answer === undefined || answer[0] === 503) answer = await get('/metrics').catch(() => undefined);
    t.is(answer[0], 401);
    t.is((await get('/healthz'))[0], 200);
    t.is((await get('/metrics', 'canary-forged'))[0], 401);
    t.is((await get('/metrics', 'canary-ann'))[0], 403);
    t.is((await get('/sd/prometheus', 'canary-prometheus'))[0], 403);
    t.is((await get('/sd/prometheus'))[0], 401);
    const [status, text] = await get('/metrics', 'canary-prometheus');
    t.is(status, 200);
    t.regex(text, /^berth_aggregator_ready /m);
    await stop();
    t.deepEqual(
      lines.filter((line) => line.includes('canary')),
      [],
    );
  },
);

test.serial('--insecure-metrics serves them to everybody, and says so', async (t) => {
  const { metrics, logged } = await running(t, '--aggregator-metrics-address=0.0.0.0:0', '--insecure-metrics');
  t.is((await fetch(`http://127.0.0.1:${metrics}/metrics`)).status, 200);
  t.regex(String(logged('warning')?.message), /^--insecure-metrics: /);
});

test.serial('V13: --secure-listen opens one port more, and nothing else', async (t) => {
  const { child } = await running(t, '--secure-listen=0.0.0.0:0');
  t.deepEqual(listeningAt(child.pid), [ANYWHERE, LOOPBACK, LOOPBACK]);
});

test.serial(
  'V17, V18: agents and clients come in by their tokens, a thief is told on, and no log line holds a secret',
  async (t) => {
    const { addresses, server, lines, logged, stop } = await running(t, '--secure-listen=127.0.0.1:0');
    const [plain = '', secure = ''] = addresses;
    const bundle = () => server.store.data.get(`configmaps/berth-system/${NAME}`)?.data?.['ca.crt'];
    await eventually(() => bundle() !== undefined);
    const channel = (token: string) =>
      tlsCredentials({
        material: {
          follow: (use) => {
            use({ authorities: bundle() ?? '' });
            return () => {};
          },
        },
        identified: false,
        token: async () => token,
      });
    // As the Service's name is resolved to the address of a replica.
    const named = targetNameOptions('berth-aggregator.berth-system.svc');
    const tokenOf = (name: string) =>
      ['eyJhbGciOiJub25lIn0', Buffer.from(`{"canary":"${name}"}`).toString('base64url'), 'c2ln'].join('.');
    const user = (pod: string, node?: string) => ({
      username: 'system:serviceaccount:berth-system:berth-agent',
      extra: {
        'authentication.kubernetes.io/pod-name': [pod],
        'authentication.kubernetes.io/pod-uid': [`uid-${pod}`],
        ...(node && { 'authentication.kubernetes.io/node-name': [node] }),
      },
    });
    const { tokens } = server.store;
    tokens.set(tokenOf('a'), { user: user('agent-a', 'node-a'), audiences: ['berth'] });
    tokens.set(tokenOf('b'), { user: user('agent-b'), audiences: ['berth'] });
    tokens.set(tokenOf('ann'), { user: { username: 'ann' }, audiences: ['berth'] });
    tokens.set(tokenOf('api'), { user: { username: 'ann' }, audiences: ['https://kubernetes.default.svc'] });
    server.store.allows = ({ user: name, resourceAttributes: of }) =>
      name === 'ann' &&
      of?.group === 'berth.dev' &&
      of.resource === 'mappings' &&
      of.verb === 'list' &&
      of.namespace === 'shop';
    const labels = { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/component': 'agent' };
    const metadata = { name: 'agent-b', namespace: 'berth-system', uid: 'uid-agent-b', annotations: {}, labels };
    server.store.put({ metadata, spec: { nodeName: 'node-b' }, status: { phase: 'Running' } });

    const registry = new MappingRegistry();
    registry.set('node-a', mapping('web'), NOW);
    const report = (node: string, token: string) =>
      agent(t, [secure], { node, registry, connect: grpcConnector(channel(tokenOf(token)), named) });
    const good = report('node-a', 'a');
    const old = report('node-b', 'b');
    await eventually(() => [good, old].every(({ heard }) => heard.some((one) => one.startsWith('connected'))));
    const thief = report('node-b', 'a');
    await eventually(() => thief.heard.some((one) => one.startsWith('lost PERMISSION_DENIED')));
    await eventually(() => server.store.events.size > 0);
    const [event] = server.store.events.values();
    t.like(event, {
      reason: 'ForeignNodeReport',
      involvedObject: { kind: 'Pod', name: 'agent-a', uid: 'uid-agent-a' },
    });
    t.is(logged('impostor')?.level, 'error');

    const ask = (address: string, namespace: string, token?: string) => {
      const client = new Client(address, token === undefined ? credentials.createInsecure() : channel(tokenOf(token)), {
        'grpc.use_local_subchannel_pool': 1,
        ...named,
      });
      t.teardown(() => client.close());
      return outcome(client, MappingService.list, { filter: { namespace } });
    };
    t.is(await ask(secure, 'shop', 'ann'), 'OK');
    t.regex(await ask(secure, 'bank', 'ann'), /^PERMISSION_DENIED/);
    t.regex(await ask(secure, 'shop', 'api'), /^UNAUTHENTICATED/);
    t.regex(await ask(secure, 'shop', 'forged'), /^UNAUTHENTICATED/);
    // What kubectl port-forward reaches.
    t.is(await ask(plain, ''), 'OK');
    const stranger = agent(t, [plain], { node: 'node-b', registry });
    await eventually(() => stranger.heard.some((one) => one.startsWith('lost PERMISSION_DENIED')));
    // The API server answers with what it was sent, cut off, and not at all.
    for (const fault of [
      { kind: 'text', text: `{"spec":{"token":"${tokenOf('x')}"},` },
      { kind: 'refuseConnection' },
    ] as const) {
      server.fault = () => fault;
      t.regex(await ask(secure, 'shop', `other-${fault.kind}`), /^UNAVAILABLE the API server cannot be asked/);
    }
    t.regex(await ask(secure, 'shop', 'ann'), /^OK|^UNAVAILABLE/);

    // The thief comes again, which is counted on the same Event.
    const asked = () => new Set(server.asked.map(rightFor));
    await eventually(() => asked().has('patch events') && asked().has('watch pods'));
    for (const right of asked()) used.add(right);
    await stop();
    const said = lines.join('\n');
    t.true(lines.length > 5);
    const key = server.store.data.get(SECRET)?.data?.['tls.key'] ?? '';
    t.true(key.length > 100);
    for (const secret of [
      'eyJhbGciOiJub25lIn0',
      Buffer.from('{"canary').toString('base64url').slice(0, 10),
      'c2ln',
      'canary',
      key.slice(60, 76),
      'BEGIN PRIVATE',
      'Bearer e',
    ]) {
      t.false(said.includes(secret), secret);
    }
  },
);

test.serial('the role of the aggregator in deploy/ has every right that it uses, and no other', (t) => {
  const objects = resourcesOf('aggregator');
  const rules = ['ClusterRole', 'Role'].flatMap((kind) => only(objects, kind, 'berth-aggregator').rules);
  t.deepEqual([...used].sort(), rightsOf(rules));
});
