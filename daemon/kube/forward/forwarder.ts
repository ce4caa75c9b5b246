/**
 * A unix socket whose connections lead, through the API server, to a port of a pod: what `kubectl port-forward` is, for this process
 * alone. The socket lies in a directory that only this user may enter. Each connection chooses its pod anew, so that one that is
 * gone is not asked again.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { BerthError } from '../../core/errors.ts';
import { quoted } from '../../core/text.ts';
import type { Failures } from './aggregatorpods.ts';
import { apiErrorCode } from './apiserver.ts';

/** How a connection is carried; that of @kubernetes/client-node is one. */
export interface Carrier {
  portForward(
    namespace: string,
    pod: string,
    ports: number[],
    output: NodeJS.WritableStream & Socket,
    errors: PassThrough,
    input: Socket,
  ): Promise<unknown>;
}

export interface Forwarding {
  readonly carrier: Carrier;
  readonly namespace: string;
  readonly port: number;
  /** The pod that the next connection leads to. Rejects when there is none. */
  readonly choose: (failures: Failures) => Promise<string>;
  /** Why a connection could not be made, or what the node says of it; undefined: one has been made. */
  readonly onOutcome: (error: Error | undefined) => void;
}

export class Forwarder implements Disposable {
  readonly path: string;
  readonly #directory: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #failures = new Map<string, number>();

  private constructor(directory: string, server: Server) {
    this.#directory = directory;
    this.#server = server;
    this.path = join(directory, 'aggregator.sock');
  }

  /** Listens; connects to nothing yet. */
  static async open(forwarding: Forwarding): Promise<Forwarder> {
    const server = createServer();
    const made = new Forwarder(mkdtempSync(join(tmpdir(), 'kubectl-berth-')), server);
    server.on('connection', (socket) => void made.#carry(socket, forwarding));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(made.path, resolve);
    await promise;
    return made;
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #carry(socket: Socket, { carrier, namespace, port, choose, onOutcome }: Forwarding): Promise<void> {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
    let pod: string | undefined;
    const failed = (error: Error) => {
      if (pod !== undefined) this.#failures.set(pod, (this.#failures.get(pod) ?? 0) + 1);
      onOutcome(error);
      socket.destroy();
    };
    const errors = new PassThrough();
    errors.on('data', (chunk: Buffer) => failed(new Error(chunk.toString('utf8').trim())));
    try {
      pod = await choose(this.#failures);
      const carried = await carrier.portForward(namespace, pod, [port], socket, errors, socket);
      // What was said meanwhile is said of this one.
      if (!socket.destroyed) onOutcome(undefined);
      followEnd(carried, socket);
    } catch (error) {
      failed(error instanceof BerthError ? error : refusalOf(error, namespace));
    }
  }
}

interface Ending {
  onclose: (() => void) | null;
  close(): void;
}

/** Each end of the connection takes the other one with it. */
function followEnd(carried: unknown, socket: Socket): void {
  const ending = carried as Ending;
  ending.onclose = () => socket.destroy();
  socket.once('close', () => ending.close());
  if (socket.destroyed) ending.close();
}

/** What a WebSocket reports is an event, and no Error; of an answer that is no WebSocket it tells the status alone. */
function refusalOf(event: unknown, namespace: string): BerthError {
  const { message } = event as { readonly message?: unknown };
  const reason = typeof message === 'string' && message !== '' ? message : 'the connection was refused';
  const [, status] = /^Unexpected server response: (\d{3})$/.exec(reason) ?? [];
  switch (status) {
    case undefined:
      return new BerthError('API_UNREACHABLE', reason);
    case '403': {
      const rights = `"get" and "create" of "pods/portforward" in namespace ${quoted(namespace)}`;
      return new BerthError('API_REFUSED', `the user may not forward to pods: it needs the rights ${rights}`);
    }
    case '404':
      return new BerthError('RPC_FAILED', 'the pod is gone');
    default:
      return new BerthError(apiErrorCode(Number(status)), `the API server answers with the status ${status}`);
  }
}
