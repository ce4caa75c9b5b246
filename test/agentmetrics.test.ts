/** The metrics of an agent on the network of its node: over TLS, to whom RBAC lets get them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type PeerCertificate } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { openAgentMetrics } from '../daemon/agentmetrics.ts';
import { readAgentOptions } from '../daemon/ops/agentoptions.ts';
import { serveHttp } from '../daemon/ops/http.ts';
import { createLog } from '../daemon/ops/log.ts';
import { StandIn } from './kube/standin/server.ts';
import { findProgram, MISSING, prometheus } from './ops/prometheus.ts';
import { authority, serverOf } from './rpc/tls/material.ts';

interface Scene {
  readonly server: StandIn;
  readonly port: number;
  readonly directory: string;
  readonly logged: string[];
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Reply>;
}

interface Reply {
  readonly status: number | undefined;
  readonly challenge: string | undefined;
  readonly text: string;
}

const LOOPBACK = { host: '127.0.0.1', port: 0 };

async function scene(t: ExecutionContext, flags: (directory: string) => readonly string[] = () => []): Promise<Scene> {
  const server = await StandIn.start();
  const directory = mkdtempSync(join(tmpdir(), 'berth-metrics-'));
  const kubeconfig = join(directory, 'config');
  const named = (key: string, value: object) => [{ name: 'x', [key]: value }];
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'x',
      clusters: named('cluster', { server: server.url, 'insecure-skip-tls-verify': true }),
      users: named('user', { token: 'own' }),
      contexts: named('context', { cluster: 'x', user: 'x' }),
    }),
  );
  const argv = ['--pods=kubernetes', `--kubeconfig=${kubeconfig}`, '--metrics-address=0.0.0.0:0', ...flags(directory)];
  const command = readAgentOptions({ argv, env: {} }, 'node-a');
  if (command.kind !== 'run') throw new Error(command.text);
  const logged: string[] = [];
  const log = createLog({
    level: 'debug',
    format: 'json',
    node: 'node-a',
    destination: { write: (line) => void logged.push(line) },
  });
  const door = await openAgentMetrics(command.options, log);
  const abort = new AbortController();
  const sources = {
    metrics: async () => ({ type: 'text/plain', text: 'berth_heals_total 0\n' }),
    live: () => ({ ok: true, text: 'alive' }),
    ready: () => ({ ok: true, text: 'ready' }),
  };
  const { address, closed } = await serveHttp(LOOPBACK, sources, abort.signal, { door });
  t.teardown(async () => {
    abort.abort();
    await closed;
    await door[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    new Promise<Reply>((resolve, reject) => {
      const asked = request(
        { ...address, path, headers, agent: false, rejectUnauthorized: false },
        async (response) => {
          const challenge = response.headers['www-authenticate'];
          resolve({ status: response.statusCode, challenge, text: (await response.toArray()).join('') });
        },
      );
      asked.once('error', reject).end();
    });
  return { server, port: address.port, directory, logged, get };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test('who has a token that RBAC lets get /metrics reads them, and nobody else', async (t) => {
  const { server, get } = await scene(t);
  server.store.tokens.set('good', { user: { username: 'prometheus' }, audiences: ['https://kubernetes.default.svc'] });
  server.store.tokens.set('other', { user: { username: 'ann' }, audiences: ['berth'] });
  server.store.allows = ({ user, nonResourceAttributes: of }) =>
    user === 'prometheus' && of?.path === '/metrics' && of.verb === 'get';
  t.like(await get('/metrics'), { status: 401, challenge: 'Bearer' });
  for (const value of ['Bearer forged', 'Basic good', 'Bearer', 'good', 'Bearer good good', 'Bearer g\xf6\xf6d']) {
    t.is((await get('/metrics', { authorization: value })).status, 401, value);
  }
  t.like(await get('/metrics', bearer('other')), { status: 403, text: 'the caller may not get /metrics\n' });
  t.like(await get('/metrics?a=b', bearer('good')), { status: 200, text: 'berth_heals_total 0\n' });
});

test('the kubelet asks without a token for the health, and what is not there costs no question to the API server', async (t) => {
  const { server, get } = await scene(t);
  t.like(await get('/healthz'), { status: 200, text: 'alive\n' });
  t.like(await get('/readyz'), { status: 200, text: 'ready\n' });
  t.is((await get('/other', bearer('good'))).status, 404);
  t.is((await get('/metrics/', bearer('good'))).status, 404);
  t.is(server.asked.length, 0);
});

test('while the API server cannot be asked nobody gets in, the health does, and the log has no token', async (t) => {
  const { server, get, logged } = await scene(t);
  server.fault = () => ({ kind: 'status', code: 500 });
  t.like(await get('/metrics', bearer('canary')), { status: 503 });
  t.is((await get('/healthz')).status, 200);
  t.true(logged.some((line) => line.includes('"operation":"metrics"')));
  t.false(logged.some((line) => line.includes('canary')));
});

test('what is not TLS is answered by nothing', async (t) => {
  const { port } = await scene(t);
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  let told = '';
  socket.on('data', (data) => {
    told += data.toString('latin1');
  });
  socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  t.false(told.includes('HTTP'));
});

/** What a client sees that checks nothing. */
function shown(port: number): Promise<PeerCertificate> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

test('--metrics-cert is shown, and again when it changes; without it one that was just made', async (t) => {
  const own = await scene(t);
  t.regex((await shown(own.port)).subjectaltname ?? '', /DNS:node-a/);
  const signer = authority();
  let directory = '';
  const write = (name: string) => {
    const { cert, key } = serverOf(signer, [name]);
    writeFileSync(join(directory, 'crt'), cert);
    writeFileSync(join(directory, 'key'), key);
  };
  const { port } = await scene(t, (made) => {
    directory = made;
    write('first.example');
    return [`--metrics-cert=${made}/crt`, `--metrics-key=${made}/key`];
  });
  let seen = '';
  const until = async (name: string) => {
    while (!seen.includes(name)) seen = (await shown(port)).subjectaltname ?? '';
  };
  await until('first.example');
  write('second.example');
  await until('second.example');
  t.pass();
});

test('a real Prometheus scrapes them by its token for the API server, and checks the certificate', async (t) => {
  const program = findProgram('prometheus');
  if (program === undefined) {
    t.log(MISSING);
    return t.pass();
  }
  const signer = authority();
  const { cert, key } = serverOf(signer, ['agent.example']);
  const { server, port, directory } = await scene(t, (made) => {
    writeFileSync(join(made, 'crt'), cert);
    writeFileSync(join(made, 'key'), key);
    return [`--metrics-cert=${made}/crt`, `--metrics-key=${made}/key`];
  });
  server.store.tokens.set('good', { user: { username: 'prometheus' }, audiences: ['https://kubernetes.default.svc'] });
  server.store.allows = ({ nonResourceAttributes: of }) => of?.path === '/metrics';
  writeFileSync(join(directory, 'ca.crt'), signer.cert);
  writeFileSync(join(directory, 'token'), 'good');
  const job = (name: string, credentials: object) => ({
    job_name: name,
    scheme: 'https',
    static_configs: [{ targets: [`127.0.0.1:${port}`] }],
    tls_config: { ca_file: join(directory, 'ca.crt'), server_name: 'agent.example' },
    ...credentials,
  });
  const { targets } = await prometheus(t, program, [
    job('good', { authorization: { credentials_file: join(directory, 'token') } }),
    job('forged', { authorization: { credentials: 'forged' } }),
    job('nobody', {}),
    job('stranger', { tls_config: { ca_file: join(directory, 'ca.crt'), server_name: 'other.example' } }),
  ]);
  const health = async () => new Map((await targets()).map(({ labels, health }) => [labels.job, health]));
  let found = await health();
  while (found.size < 4 || [...found.values()].includes('unknown')) found = await health();
  // The certificate of files may have come after the first scrape.
  while (found.get('good') !== 'up') found = await health();
  t.deepEqual(Object.fromEntries(found), { good: 'up', forged: 'down', nobody: 'down', stranger: 'down' });
});
