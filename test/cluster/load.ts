/**
 * Requests over HTTP, one after the other, each over a connection of its own, and every 100 ms one over a connection that stays open.
 * Ends with its standard input and then prints what came of it.
 * Arguments: ADDRESS PORT. The harness starts it.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const REQUEST = 'GET / HTTP/1.1\r\nHost: berth\r\n\r\n';
/** No answer by then is a failure, in ms. It is longer than one retransmission of a SYN. */
const PATIENCE = 2_500;
/** Between two requests, in ms: this is about interruptions, not about throughput. */
const PAUSE = 5;

class Connection {
  readonly #socket: Socket;
  #ended: Error | undefined;
  #wake = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', () => this.#wake());
    const end = (error = new Error('closed by the peer')) => {
      this.#ended ??= error;
      this.#wake();
    };
    socket.on('error', end).on('end', () => end());
  }

  static async open(address: string, port: number): Promise<Connection> {
    const socket = connect(port, address);
    const connection = new Connection(socket);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE) });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return connection;
  }

  /** Resolves when something was answered. */
  async ask(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE);
    this.#wake = () => (this.#ended === undefined ? resolve() : reject(this.#ended));
    if (this.#ended !== undefined) this.#wake();
    this.#socket.write(REQUEST);
    await promise.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

async function main(address: string, port: number): Promise<void> {
  let [answers, last, longestGapMs, ended] = [0, performance.now(), 0, false];
  const failures: string[] = [];
  process.stdin.resume().once('end', () => {
    ended = true;
  });
  const attempt = async (kind: string, request: () => Promise<void>) => {
    try {
      await request();
      answers += 1;
      longestGapMs = Math.max(longestGapMs, performance.now() - last);
      last = performance.now();
    } catch (error) {
      failures.push(`${kind}: ${error instanceof Error ? error.message : error}`);
    }
  };
  const fresh = async () => {
    while (!ended) {
      await attempt('new connection', async () => {
        using connection = await Connection.open(address, port);
        await connection.ask();
      });
      await delay(PAUSE);
    }
  };
  const standing = () =>
    attempt('standing connection', async () => {
      using connection = await Connection.open(address, port);
      while (!ended) {
        await connection.ask();
        await delay(100);
      }
    });
  await Promise.all([fresh(), standing()]);
  process.stdout.write(`${JSON.stringify({ answers, failures: failures.slice(0, 100), longestGapMs })}\n`);
}

const [address = '', port = ''] = process.argv.slice(2);
await main(address, Number(port));
