/**
 * A small API server with real sockets. It behaves as the real one for what the agent uses of it, which test/kube/contract.test.ts
 * holds it to, and goes wrong in the ways that a test asks for.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { ApiServerDouble, type Fault, type WatchLine } from '../../../daemon/kube/api/apiserver.double.ts';
import { type Asked, type AskedBody, type Reply, refusal } from '../../../daemon/kube/api/resources.double.ts';
import type { TestServer } from '../apiserver/testserver.ts';
import { authorize } from './authorization.ts';
import { answerData } from './data.ts';
import { review } from './reviews.ts';

/** The server ends a watch with a bookmark so many ms before its end (bookmarks of the watch cache, since Kubernetes 1.17). */
const BOOKMARK_BEFORE_END = 2_000;

export class StandIn implements TestServer {
  readonly name = 'the stand-in';
  readonly tls = {};
  readonly api = new ApiServerDouble();
  readonly asked: Asked[] = [];
  /** Asked for every request. */
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  /** Connections that were opened so far. */
  connections = 0;
  readonly #server: Server;
  readonly #watches = new Set<ServerResponse>();

  private constructor(server: Server) {
    this.#server = server;
    this.store.nodes.set('node-a', { kind: 'Node', metadata: { name: 'node-a', labels: { tier: 'edge' } } });
    server.on('connection', () => {
      this.connections++;
    });
    server.on('request', (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<StandIn> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new StandIn(server);
  }

  get store(): ApiServerDouble['store'] {
    return this.api.store;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** Requests of this kind so far: `GET /api/v1/pods`, or `watch`. */
  count(kind: string): number {
    return this.asked.filter((one) => kindOf(one) === kind).length;
  }

  patches(part = ''): Asked[] {
    return this.asked.filter(
      ({ method, path }) => method === 'PATCH' && path.includes('/pods/') && path.endsWith(part),
    );
  }

  /** To everybody who watches. */
  bookmark(): void {
    this.api.bookmark();
  }

  /** Whatever text a test wants, to everybody who watches. */
  say(words: string): void {
    for (const response of this.#watches) response.write(words);
  }

  /** `cleanly`: as when the server's own time limit ends them. */
  endWatches(cleanly = true): void {
    for (const response of [...this.#watches]) {
      if (cleanly) response.end();
      else response.destroy();
      this.#watches.delete(response);
    }
  }

  async forget(): Promise<void> {
    this.endWatches(false);
    this.store.compact();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const words = await text(request).catch(() => '');
    const asked: Asked = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: JSON.parse(words || '{}') as AskedBody,
    };
    this.asked.push(asked);
    const fault = this.fault(asked);
    if (fault?.kind === 'silence') return;
    if (fault?.kind === 'refuseConnection') return void response.destroy();
    if (fault?.kind === 'status') {
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
      return send(response, refusal(fault.code, fault.reason ?? 'Fault', 'as the test wants it', fault.causes));
    }
    if (fault?.kind === 'text') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(fault.text);
      return void (fault.cut === true ? setImmediate(() => response.destroy()) : response.end());
    }
    const forbidden = authorize(asked);
    if (forbidden !== undefined) return send(response, forbidden);
    if (asked.path.startsWith('/apis/berth.dev/')) return notServed(response);
    if (kindOf(asked) === 'watch') return this.#watch(asked, response);
    const reply = review(this.store, asked) ?? answerData(this.store, asked) ?? this.api.answer(asked);
    if (fault?.kind === 'replyLost') return void response.destroy();
    return send(response, reply);
  }

  #watch({ path, query }: Asked, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const write = (line: WatchLine) => response.write(`${JSON.stringify(line)}\n`);
    const stop = this.api.watch(path, query, write);
    if (stop === undefined) return void response.end();
    this.#watches.add(response);
    const timers = this.#limit(response, query);
    response.on('close', () => {
      for (const timer of timers) clearTimeout(timer);
      stop();
      this.#watches.delete(response);
    });
  }

  /** The end of a watch that asked for one. There is a bookmark before it when somebody's pod changed since `from`. */
  #limit(response: ServerResponse, { timeoutSeconds, allowWatchBookmarks, resourceVersion }: Asked['query']) {
    const limit = 1_000 * Number(timeoutSeconds ?? Number.NaN);
    if (!(limit > 0)) return [];
    const remind = () => {
      if (allowWatchBookmarks !== 'true' || this.store.revision <= Number(resourceVersion)) return;
      response.write(`${JSON.stringify(this.api.reminder())}\n`);
    };
    return [
      setTimeout(remind, Math.max(0, limit - BOOKMARK_BEFORE_END)).unref(),
      setTimeout(() => response.end(), limit).unref(),
    ];
  }
}

/** How tests count requests. */
export function kindOf({ method, path, query }: Asked): string {
  return query.watch === 'true' ? 'watch' : `${method} ${path}`;
}

/** Of a group that nobody has installed the API server says so in plain text. */
function notServed(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' });
  response.end('404 page not found\n');
}

function send(response: ServerResponse, { code, body }: Reply): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
