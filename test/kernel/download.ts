/** A download of known bytes that goes on exactly as far as a test wants: a server in a pod, and a client outside. */
import { createHash } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { atOnce } from './matrix/server.ts';
import type { Namespace } from './namespace.ts';

const CHUNK = 64 * 1024;

/** The bytes of a pod: no two chunks are the same, and none is another pod's. */
function chunk(owner: string, index: number): Buffer {
  return Buffer.alloc(CHUNK, createHash('sha256').update(`${owner} ${index}`).digest('hex'));
}

function digest(hash: ReturnType<typeof createHash>): string {
  return hash.digest('hex').slice(0, 16);
}

/** Sends a chunk to whoever is connected when it is told to. */
export class FileServer implements Disposable {
  readonly #owner: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #sent = 0;

  constructor(namespace: Namespace, port: number, owner: string) {
    this.#owner = owner;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => this.#sockets.delete(socket));
    });
    namespace.enter(() => this.#server.listen({ port }));
  }

  get clients(): number {
    return this.#sockets.size;
  }

  /** So many chunks more, and with the last of them the end. */
  send(chunks: number, end = false): void {
    for (let count = 0; count < chunks; count++) {
      for (const socket of this.#sockets) socket.write(chunk(this.#owner, this.#sent));
      this.#sent++;
    }
    if (end) for (const socket of this.#sockets) socket.end();
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export class Download implements Disposable {
  readonly #socket: Socket;
  readonly #hash = createHash('sha256');
  bytes = 0;
  /** How it ended: what was received, or the name of the error. */
  readonly ended: Promise<string>;

  constructor(from: Namespace, host: string, port: number) {
    this.#socket = from.enter(() =>
      connect({
        host: `at ${host}`,
        port,
        family: 4,
        lookup: (_name, options, answer) => atOnce(host, options, answer),
      }),
    );
    this.#socket.on('data', (data: Buffer) => {
      this.bytes += data.length;
      this.#hash.update(data);
    });
    this.ended = new Promise((resolve) => {
      this.#socket.once('end', () => resolve(`${this.bytes} bytes ${digest(this.#hash)}`));
      this.#socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** What a download of so many chunks of this pod ends with. */
export function intact(owner: string, chunks: number): string {
  const hash = createHash('sha256');
  for (let index = 0; index < chunks; index++) hash.update(chunk(owner, index));
  return `${chunks * CHUNK} bytes ${digest(hash)}`;
}

export function bytesOf(chunks: number): number {
  return chunks * CHUNK;
}
