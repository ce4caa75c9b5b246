/**
 * A small API server with real sockets: pods of a node are listed, watched, read and patched, Events are created and patched. It
 * behaves as the real one for what the agent uses of it, and goes wrong in the ways that a test asks for.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { mergePatch, strategicPatch } from './patches.ts';
import { type Change, Store, type StoredEvent, type StoredPod } from './store.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  readonly body: Body;
}

/** What the agent sends: a patch of a pod, or an Event. */
interface Body {
  readonly metadata: {
    readonly uid?: string;
    readonly name?: string;
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly status?: object;
}

/** What goes wrong with a request. `replyLost`: it is done all the same. */
export type Fault =
  | {
      readonly kind: 'status';
      readonly code: number;
      readonly reason?: string;
      readonly retryAfter?: number;
      readonly causes?: readonly string[];
    }
  | { readonly kind: 'text'; readonly text: string; readonly cut?: boolean }
  | { readonly kind: 'silence' | 'replyLost' | 'refuseConnection' };

interface Reply {
  readonly code: number;
  readonly body: object;
}

export class StandIn implements AsyncDisposable {
  readonly store = new Store();
  readonly asked: Asked[] = [];
  /** Asked for every request. */
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  /** What a list with resourceVersion=0 is answered from: an old state, when set. */
  oldList: { readonly items: readonly StoredPod[]; readonly revision: number } | undefined;
  /** How a foreign uid in a patch is refused: 422 as an immutable field (Kubernetes 1.20), or 409. */
  uidRefusal: 409 | 422 = 422;
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

  /** Sends a bookmark, or whatever text a test wants, to everybody who watches. */
  bookmark(): void {
    this.say(
      `${JSON.stringify({ type: 'BOOKMARK', object: { kind: 'Pod', metadata: { resourceVersion: `${this.store.revision}` } } })}\n`,
    );
  }

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
      body: JSON.parse(words || '{}') as Body,
    };
    this.asked.push(asked);
    const fault = this.fault(asked);
    if (fault?.kind === 'silence') return;
    if (fault?.kind === 'refuseConnection') return void response.destroy();
    if (fault?.kind === 'status') {
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
      return send(response, status(fault.code, fault.reason ?? 'Fault', 'as the test wants it', fault.causes));
    }
    if (fault?.kind === 'text') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(fault.text);
      return void (fault.cut === true ? setImmediate(() => response.destroy()) : response.end());
    }
    if (kindOf(asked) === 'watch') return this.#watch(asked, response);
    const reply = this.#handle(asked);
    if (fault?.kind === 'replyLost') return void response.destroy();
    return send(response, reply);
  }

  #handle({ method, path, query, body, headers }: Asked): Reply {
    const [, , , collection, ...rest] = path.split('/');
    if (method === 'GET' && collection === 'pods') return this.#list(query);
    if (method === 'GET' && collection === 'nodes') return found(this.store.nodes.get(rest[0] ?? ''), path);
    const [namespace, kind, name, sub] = rest;
    const key = `${namespace}/${name}`;
    if (kind === 'pods' && method === 'GET') return found(this.store.pods.get(key), path);
    if (kind === 'pods' && method === 'PATCH')
      return this.#patch(key, body, `${headers['content-type']}`, sub === 'status');
    if (kind === 'events' && method === 'POST') {
      const created = `${namespace}/${body.metadata.name}`;
      if (this.store.events.has(created)) return status(409, 'AlreadyExists', `events ${created} already exists`);
      this.store.events.set(created, body as Body & StoredEvent);
      return { code: 201, body };
    }
    if (kind === 'events' && method === 'PATCH') {
      const event = this.store.events.get(key);
      if (event === undefined) return status(404, 'NotFound', path);
      this.store.events.set(key, mergePatch(event, body) as StoredEvent);
      return found(this.store.events.get(key), path);
    }
    return status(405, 'MethodNotAllowed', path);
  }

  #list({ resourceVersion, resourceVersionMatch, fieldSelector }: Asked['query']): Reply {
    const cached = resourceVersion === '0' ? this.oldList : undefined;
    if (
      resourceVersionMatch === 'NotOlderThan' &&
      Number(resourceVersion) > (this.oldList?.revision ?? this.store.revision)
    ) {
      return status(504, 'Timeout', 'Too large resource version', ['ResourceVersionTooLarge']);
    }
    const items = (cached?.items ?? [...this.store.pods.values()]).filter(
      (pod) => `spec.nodeName=${pod.spec.nodeName}` === fieldSelector,
    );
    // Items of a list have no kind of their own.
    const bare = items.map((pod) => ({ ...pod, apiVersion: undefined, kind: undefined }));
    return {
      code: 200,
      body: {
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: { resourceVersion: `${cached?.revision ?? this.store.revision}` },
        items: bare,
      },
    };
  }

  #patch(key: string, patch: Body, type: string, sub: boolean): Reply {
    const pod = this.store.pods.get(key);
    if (pod === undefined) return status(404, 'NotFound', `pods ${key} not found`);
    const uid = patch.metadata?.uid;
    if (uid !== undefined && uid !== pod.metadata.uid) {
      return status(
        this.uidRefusal,
        this.uidRefusal === 409 ? 'Conflict' : 'Invalid',
        `the UID in the precondition is ${uid}`,
      );
    }
    const merged = (type.startsWith('application/strategic') ? strategicPatch : mergePatch)(pod, patch) as StoredPod;
    // Through its status a pod's metadata can be changed too, and its spec cannot; without it all but the status.
    const changed = sub ? { ...merged, spec: pod.spec } : { ...merged, status: pod.status };
    const size = Object.entries(changed.metadata.annotations ?? {}).reduce(
      (sum, [one, value]) => sum + one.length + String(value).length,
      0,
    );
    if (size > 256 * 1024)
      return status(422, 'Invalid', 'metadata.annotations: Too long: may not be more than 262144 bytes');
    return { code: 200, body: this.store.put(changed) };
  }

  #watch({ query }: Asked, response: ServerResponse): void {
    const from = Number(query.resourceVersion);
    const visible = ({ object }: Change) => `spec.nodeName=${object.spec.nodeName}` === query.fieldSelector;
    const write = (change: Change) => {
      if (visible(change)) response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
    };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from < this.store.compacted) {
      response.end(
        `${JSON.stringify({ type: 'ERROR', object: status(410, 'Expired', 'too old resource version').body })}\n`,
      );
      return;
    }
    for (const change of this.store.history) if (change.revision > from) write(change);
    this.store.onChange.add(write);
    this.#watches.add(response);
    response.on('close', () => {
      this.store.onChange.delete(write);
      this.#watches.delete(response);
    });
  }
}

/** How tests count requests. */
export function kindOf({ method, path, query }: Asked): string {
  return query.watch === 'true' ? 'watch' : `${method} ${path}`;
}

function found(object: object | undefined, path: string): Reply {
  return object === undefined ? status(404, 'NotFound', `${path} not found`) : { code: 200, body: object };
}

function status(code: number, reason: string, message: string, causes: readonly string[] = []): Reply {
  const details = causes.length === 0 ? {} : { details: { causes: causes.map((one) => ({ reason: one })) } };
  return { code, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, ...details } };
}

function send(response: ServerResponse, { code, body }: Reply): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
