/**
 * A client that keeps its one socket, and so its one tracked flow, over many questions. It runs in the process of the
 * test; its socket belongs to the namespace.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import type { Namespace } from '../namespace.ts';
import type { Question } from './probe.ts';
import { atOnce } from './server.ts';

/** An answer takes less than a millisecond; this is for a machine that is busy. */
const PATIENCE_MS = 5_000;

export class Conversation implements Disposable {
  readonly #client: TcpClient | UdpClient;
  #heard: ((answer: string) => void) | undefined;
  /** What happened while nobody was asking. */
  #ended: string | undefined;

  constructor(from: Namespace, { protocol, address, port, source }: Omit<Question, 'patience'>) {
    const hear = (answer: string) => this.#hear(answer);
    const end = (reason: string) => this.#end(reason);
    this.#client = from.enter(() =>
      protocol === 'TCP'
        ? new TcpClient(address, port, source, hear, end)
        : new UdpClient(address, port, source, hear, end),
    );
  }

  get localPort(): number {
    return this.#client.localPort;
  }

  /** Says something and resolves to the answer, the name of the error, or `silence`. One question at a time. */
  ask(patience = PATIENCE_MS): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const timer = setTimeout(() => this.#hear('silence'), patience);
    this.#heard = (answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    if (this.#ended === undefined) this.#client.say();
    else this.#hear(this.#ended);
    return promise;
  }

  #hear(answer: string): void {
    const heard = this.#heard;
    this.#heard = undefined;
    heard?.(answer);
  }

  #end(reason: string): void {
    // A UDP socket goes on after an error, a TCP connection does not.
    if (this.#client instanceof TcpClient) this.#ended ??= reason;
    this.#hear(reason);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

type Listener = (text: string) => void;

class TcpClient {
  readonly #socket: Socket;

  constructor(host: string, port: number, localAddress: string | undefined, hear: Listener, end: Listener) {
    const family = host.includes(':') ? 6 : 4;
    // Only a lookup makes the socket at once.
    const from = localAddress === undefined ? {} : { localAddress };
    this.#socket = connect({
      host: `at ${host}`,
      port,
      family,
      noDelay: true,
      ...from,
      lookup: (_name, options, answer) => atOnce(host, options, answer),
    });
    this.#socket.on('data', (data) => hear(String(data)));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    this.#socket.on('end', () => end('end'));
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  say(): void {
    this.#socket.write('?');
  }

  close(): void {
    // Not a reset: the kernel forgets a reset connection at once, and tests look for it. But an attempt holds the process.
    if (this.#socket.connecting) this.#socket.destroy();
    else this.#socket.end();
    this.#socket.unref();
  }
}

class UdpClient {
  readonly #socket: UdpSocket;

  constructor(host: string, port: number, source: string | undefined, hear: Listener, end: Listener) {
    const six = host.includes(':');
    this.#socket = createSocket({ type: six ? 'udp6' : 'udp4', lookup: atOnce });
    this.#socket.on('message', (data) => hear(String(data)));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    this.#socket.bind(0, source ?? (six ? '::' : '0.0.0.0'));
    // Only a connected socket hears of ICMP errors (udp(7)).
    this.#socket.connect(port, host);
  }

  get localPort(): number {
    return this.#socket.address().port;
  }

  say(): void {
    this.#socket.send('?', (error) => {
      if (error !== null) this.#socket.emit('error', error);
    });
  }

  close(): void {
    this.#socket.close();
  }
}
