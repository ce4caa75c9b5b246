import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { Health } from '../../daemon/ops/health.ts';
import { type HttpEndpoint, type HttpLimits, type HttpSources, serveHttp } from '../../daemon/ops/http.ts';

const SOURCES: HttpSources = {
  metrics: async () => ({ type: 'text/plain; version=0.0.4; charset=utf-8', text: 'berth_heals_total 0\n' }),
  live: () => ({ ok: true, text: 'alive' }),
  ready: () => ({ ok: false, text: 'not ready: starting' }),
};

interface Served extends HttpEndpoint {
  readonly abort: AbortController;
}

async function serve(
  t: ExecutionContext,
  sources: Partial<HttpSources> = {},
  limits?: Partial<HttpLimits>,
): Promise<Served> {
  const abort = new AbortController();
  const endpoint = await serveHttp({ host: '127.0.0.1', port: 0 }, { ...SOURCES, ...sources }, abort.signal, limits);
  t.teardown(async () => {
    abort.abort();
    await endpoint.closed;
  });
  return { ...endpoint, abort };
}

interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

async function ask({ address }: HttpEndpoint, path: string, method = 'GET'): Promise<Reply> {
  const asked = request({ ...address, path, method, agent: false });
  asked.end();
  const [response] = await once(asked, 'response');
  const body = (await response.toArray()).join('');
  return { status: response.statusCode, headers: response.headers, body };
}

/** A client that speaks for itself; `ended` resolves to all that it was told when the server has hung up. */
function rawClient(
  t: ExecutionContext,
  { address }: HttpEndpoint,
): { readonly socket: Socket; readonly ended: Promise<string> } {
  const socket = connect(address.port, address.host);
  t.teardown(() => socket.destroy());
  let told = '';
  socket.on('data', (data) => {
    told += data;
  });
  socket.on('error', () => {});
  const ended = once(socket, 'close').then(() => told);
  return { socket, ended };
}

test('port 0 takes a free port and says which', async (t) => {
  const { address } = await serve(t);
  t.is(address.host, '127.0.0.1');
  t.true(address.port > 0);
});

test('/metrics answers the exposition with its content type', async (t) => {
  const reply = await ask(await serve(t), '/metrics?a=b');
  t.is(reply.status, 200);
  t.is(reply.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  t.is(reply.body, 'berth_heals_total 0\n');
});

test('/healthz and /readyz answer 200 or 503, and say why', async (t) => {
  const endpoint = await serve(t);
  t.like(await ask(endpoint, '/healthz'), { status: 200, body: 'alive\n' });
  t.like(await ask(endpoint, '/readyz'), { status: 503, body: 'not ready: starting\n' });
});

test('HEAD answers like GET, without the body', async (t) => {
  const reply = await ask(await serve(t), '/metrics', 'HEAD');
  t.like(reply, { status: 200, body: '' });
  t.is(reply.headers['content-length'], '20');
});

test('any other path is 404, any other method 405', async (t) => {
  const endpoint = await serve(t);
  for (const path of ['/', '/metrics/', '/debug/pprof', '/..%2fmetrics'])
    t.is((await ask(endpoint, path)).status, 404, path);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
    const reply = await ask(endpoint, '/metrics', method);
    t.is(reply.status, 405, method);
    t.is(reply.headers.allow, 'GET, HEAD');
  }
});

test('metrics that cannot be collected are a 500 and end nothing', async (t) => {
  const endpoint = await serve(t, {
    metrics: () => Promise.reject(new Error('no snapshot')),
    live: () => {
      throw new Error('no clock');
    },
  });
  t.like(await ask(endpoint, '/metrics'), { status: 500, body: 'the answer could not be made: no snapshot\n' });
  t.is((await ask(endpoint, '/healthz')).status, 500);
  t.is((await ask(endpoint, '/readyz')).status, 503);
});

test('an address that is taken is refused with the remedy', async (t) => {
  const { address } = await serve(t);
  await t.throwsAsync(serveHttp(address, SOURCES, new AbortController().signal), {
    code: 'CONFIG_INVALID',
    message: /^metrics cannot be served on 127\.0\.0\.1 port \d+ \(.*EADDRINUSE.*\): set --metrics-address/,
  });
});

test('the signal closes the server and its open connections', async (t) => {
  const endpoint = await serve(t);
  const { socket, ended } = rawClient(t, endpoint);
  await once(socket, 'connect');
  endpoint.abort.abort();
  await endpoint.closed;
  await ended;
  await t.throwsAsync(ask(endpoint, '/healthz'), { code: 'ECONNREFUSED' });
});

test('a signal that has aborted before is obeyed', async (t) => {
  const { closed } = await serveHttp({ host: '127.0.0.1', port: 0 }, SOURCES, AbortSignal.abort());
  await t.notThrowsAsync(closed);
});

const SHORT = { requestMs: 300, lookMs: 100, idleMs: 5_000, connections: 4 };

test('V14: a client that never ends its request is cut off, and others are served meanwhile', async (t) => {
  const endpoint = await serve(t, {}, SHORT);
  const slow = Array.from({ length: 3 }, () => rawClient(t, endpoint));
  for (const { socket } of slow) socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ');
  t.is((await ask(endpoint, '/healthz')).status, 200);
  for (const { ended } of slow) t.regex(await ended, /^HTTP\/1\.1 408 /);
});

test('a client that says nothing is cut off', async (t) => {
  const endpoint = await serve(t, {}, { ...SHORT, requestMs: 5_000, idleMs: 50 });
  t.is(await rawClient(t, endpoint).ended, '');
});

test('I10: connections beyond the limit are closed at once', async (t) => {
  const endpoint = await serve(t, {}, { requestMs: 60_000, idleMs: 60_000, connections: 2 });
  const held = [rawClient(t, endpoint), rawClient(t, endpoint)];
  await Promise.all(held.map(({ socket }) => once(socket, 'connect')));
  t.is(await rawClient(t, endpoint).ended, '');
  held[0]?.socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.regex((await held[0]?.ended) ?? '', /^HTTP\/1\.1 200 /);
});

test('I10: one address cannot have all connections', async (t) => {
  const limits = { requestMs: 60_000, idleMs: 60_000, connections: 4, connectionsPerAddress: 2 };
  const endpoint = await serve(t, {}, limits);
  const held = [rawClient(t, endpoint), rawClient(t, endpoint)];
  await Promise.all(held.map(({ socket }) => once(socket, 'connect')));
  t.is(await rawClient(t, endpoint).ended, '');
  const other = request({ ...endpoint.address, path: '/healthz', localAddress: '127.0.0.2', agent: false }).end();
  const [response] = await once(other, 'response');
  t.is(response.statusCode, 200);
  response.resume();
  held[0]?.socket.destroy();
  while ((await ask(endpoint, '/healthz').catch(() => undefined))?.status !== 200);
});

test('headers that are too large are refused', async (t) => {
  const endpoint = await serve(t);
  const { socket, ended } = rawClient(t, endpoint);
  socket.write(`GET /metrics HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
  t.regex(await ended, /^HTTP\/1\.1 431 /);
});

test('what is not HTTP is refused', async (t) => {
  const endpoint = await serve(t);
  const { socket, ended } = rawClient(t, endpoint);
  socket.write('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n');
  t.regex(await ended, /^HTTP\/1\.1 400 /);
});

class HandClock {
  now = 0;
  monotonic(): number {
    return this.now;
  }
}

test('the agent is ready when it holds the lock and its first full pass has ended, and stays so', (t) => {
  const clock = new HandClock();
  const health = new Health(clock, 60_000);
  t.deepEqual(health.ready(), { ok: false, text: 'not ready: starting' });
  health.waiting('pid 12 holds the lock');
  t.deepEqual(health.ready(), { ok: false, text: 'not ready: pid 12 holds the lock' });
  health.lockTaken();
  t.deepEqual(health.ready(), { ok: false, text: 'not ready: the first full pass has not ended yet' });
  health.record({ kind: 'pass', full: false, ms: 1 });
  t.false(health.ready().ok);
  health.record({ kind: 'failure', operation: 'read', error: new Error('nft is missing') });
  t.is(health.ready().text, 'not ready: the first full pass has not ended yet; failing: read');
  health.record({ kind: 'recovered', operation: 'read' });
  health.record({ kind: 'pass', full: true, ms: 1 });
  t.deepEqual(health.ready(), { ok: true, text: 'ready' });
  clock.now = 1e9;
  t.true(health.ready().ok);
});

test('the agent is alive however long it waits for its first pass, and then as long as passes end', (t) => {
  const clock = new HandClock();
  const health = new Health(clock, 60_000);
  clock.now = 1e9;
  t.true(health.live().ok);
  health.lockTaken();
  health.record({ kind: 'pass', full: true, ms: 1 });
  clock.now += 180_000;
  t.true(health.live().ok);
  clock.now += 1;
  health.record({ kind: 'failure', operation: 'read', error: new Error('nft is missing') });
  t.deepEqual(health.live(), { ok: false, text: 'the last pass ended 180 s ago; failing: read' });
  health.record({ kind: 'pass', full: false, ms: 1 });
  t.true(health.live().ok);
});

test('what failed before the last pass is no reason why the next one does not end', (t) => {
  const clock = new HandClock();
  const health = new Health(clock, 60_000);
  health.lockTaken();
  health.record({ kind: 'failure', operation: 'pods', error: new Error('a manifest is bad') });
  health.record({ kind: 'pass', full: true, ms: 1 });
  clock.now += 200_000;
  t.deepEqual(health.live(), { ok: false, text: 'the last pass ended 200 s ago' });
});
