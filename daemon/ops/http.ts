/**
 * /metrics, /healthz, /readyz, and more pages where a program has some. It answers and changes nothing; a slow, silent or greedy
 * client is cut off. Plain HTTP for everybody unless a door is given, behind which all but the health is guarded.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../core/errors.ts';
import { Share } from '../core/share.ts';
import type { Verdict } from './health.ts';
import { invalid, type SocketAddress } from './values.ts';

export interface HttpSources {
  /** The exposition and its content type. */
  metrics(): Promise<{ readonly type: string; readonly text: string }>;
  live(): Verdict;
  ready(): Verdict;
  /** By path. */
  readonly pages?: Readonly<Record<string, (query: URLSearchParams) => Promise<Answer>>>;
}

export interface Answer {
  readonly status: number;
  /** In parts, where it may be long: they are made as fast as they are read. */
  readonly text: string | AsyncIterable<string>;
  readonly type?: string;
  /** Called once when it was given, or cannot be any more. */
  readonly done?: () => void;
}

/** What stands between the pages and a network. */
export interface HttpDoor {
  /** Makes a server that encrypts. */
  readonly createServer: (settings: ServerOptions, answer: RequestListener) => Server;
  /** Undefined: the page may be given to whoever asks. A kubelet has no token: it is never asked about the health. */
  readonly denial: (request: IncomingMessage, path: string) => Promise<Answer | undefined>;
}

export interface HttpLimits {
  /** A request must have arrived by then, in ms. */
  readonly requestMs: number;
  /** How often that is looked at, in ms: each look wakes the process. */
  readonly lookMs: number;
  /** A connection that carries nothing is closed, in ms. */
  readonly idleMs: number;
  readonly connections: number;
  /** From one address; as many as from all unless given. */
  readonly connectionsPerAddress?: number;
  /** The flag that says where to serve. */
  readonly remedy: string;
  readonly door?: HttpDoor;
}

const LIMITS: HttpLimits = {
  requestMs: 5_000,
  lookMs: 30_000,
  idleMs: 10_000,
  connections: 64,
  remedy: '--metrics-address',
};

export interface HttpEndpoint {
  /** With the port that the kernel chose, when port 0 was asked for. */
  readonly address: SocketAddress;
  /** Resolves when the signal has aborted and every connection is closed. */
  readonly closed: Promise<void>;
}

/** Serves until the signal aborts. Rejects with CONFIG_INVALID when the address cannot be bound. */
export async function serveHttp(
  address: SocketAddress,
  sources: HttpSources,
  signal: AbortSignal,
  given: Partial<HttpLimits> = {},
): Promise<HttpEndpoint> {
  const limits = { ...LIMITS, ...given };
  const { door } = limits;
  const server = (door?.createServer ?? createServer)(
    {
      maxHeaderSize: 8_192,
      headersTimeout: limits.requestMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.lookMs,
    },
    (request, response) => void answer(request, response, sources, door),
  );
  server.timeout = limits.idleMs;
  server.maxConnections = limits.connections;
  boundEach(server, limits.connectionsPerAddress ?? limits.connections);
  await listen(server, address, limits.remedy);
  // A connection that cannot be accepted (no descriptor is left) is told here; without a listener it would end the process.
  server.on('error', () => {});
  const { address: host, port } = server.address() as AddressInfo;
  const closed = new Promise<void>((resolve) => server.once('close', resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return { address: { host, port }, closed };
}

/** Nobody has all places: the kubelet must find one. */
function boundEach(server: Server, perAddress: number): void {
  const open = new Share({ ofAll: Number.POSITIVE_INFINITY, ofOne: perAddress });
  server.on('connection', (connection: Socket) => {
    const { remoteAddress } = connection;
    if (remoteAddress === undefined || open.lacking(remoteAddress) !== undefined) {
      connection.destroy();
      return;
    }
    open.add(remoteAddress);
    connection.once('close', () => open.add(remoteAddress, -1));
  });
}

async function listen(server: Server, { host, port }: SocketAddress, remedy: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host, port }, resolve);
  try {
    await promise;
  } catch (error) {
    throw invalid(
      `metrics cannot be served on ${host} port ${port} (${messageOf(error)}): set ${remedy} to a free one`,
      error,
    );
  } finally {
    server.off('error', reject);
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  sources: HttpSources,
  door: HttpDoor | undefined,
): Promise<void> {
  const { status, text, type = 'text/plain; charset=utf-8', done } = await route(request, sources, door).catch(failed);
  const long = typeof text !== 'string';
  try {
    if (status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
    if (status === 405) response.setHeader('Allow', 'GET, HEAD');
    response.writeHead(status, {
      'Content-Type': type,
      ...(long ? {} : { 'Content-Length': Buffer.byteLength(text) }),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    });
    // Node leaves the body out when the method is HEAD.
    if (long) await pipeline(Readable.from(text), response);
    else response.end(text);
  } catch {
    // A client that is gone, or was cut off, has nothing to be told; one that is there sees that something is missing.
    response.destroy();
  } finally {
    done?.();
  }
}

async function route(request: IncomingMessage, sources: HttpSources, door: HttpDoor | undefined): Promise<Answer> {
  const { method, url = '' } = request;
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'only GET and HEAD are allowed\n' };
  const [path = ''] = url.split('?', 1);
  const { pages = {} } = sources;
  switch (path) {
    case '/metrics':
      return (await door?.denial(request, path)) ?? { status: 200, ...(await sources.metrics()) };
    case '/healthz':
      return verdict(sources.live());
    case '/readyz':
      return verdict(sources.ready());
    default: {
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
      if (page !== undefined) {
        return (await door?.denial(request, path)) ?? (await page(new URLSearchParams(url.slice(path.length + 1))));
      }
      const more = Object.keys(pages).map((name) => `${name}, `);
      return { status: 404, text: `there are ${more.join('')}/metrics, /healthz and /readyz\n` };
    }
  }
}

function failed(error: unknown): Answer {
  return { status: 500, text: `the answer could not be made: ${messageOf(error)}\n` };
}

function verdict({ ok, text }: Verdict): Answer {
  return { status: ok ? 200 : 503, text: `${text}\n` };
}
