/**
 * Another process of the node, which tries to get ports that Berth holds: started by tests, told by messages what to try.
 * It binds as a C program would, without the options that Node adds by itself.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { fileURLToPath } from 'node:url';
import { SystemError } from '../../daemon/native/errno.ts';
import { bind, check, close, getsockname, libcFunction, setsockopt, socket } from '../../daemon/native/libc.ts';

export interface Wish {
  readonly protocol: 'TCP' | 'UDP';
  readonly address: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  readonly reuseAddr?: boolean;
  readonly reusePort?: boolean;
  /** TCP: also listen. */
  readonly listen?: boolean;
  /** Keep the socket until `drop`. */
  readonly keep?: boolean;
}

/** `got`: the number that was bound; or the name of the errno. */
export type Answer = { readonly got: number } | { readonly refused: string };

export class OtherProcess implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(import.meta.url), ['serve'], { execArgv: [] });
  }

  async try(wish: Wish): Promise<Answer> {
    return (await this.#ask(wish)) as Answer;
  }

  /** Closes what it kept. */
  async drop(): Promise<void> {
    await this.#ask('drop');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  async #ask(message: Wish | 'drop'): Promise<unknown> {
    const answer = once(this.#child, 'message');
    this.#child.send(message);
    return (await answer)[0];
  }
}

function attempt(wish: Wish, kept: number[]): Answer {
  const family = isIPv6(wish.address) ? 10 : 2;
  const descriptor = socket(family, wish.protocol === 'TCP' ? 1 : 2, 0);
  try {
    if (wish.reuseAddr) setsockopt(descriptor, 1, 2, 1);
    if (wish.reusePort) setsockopt(descriptor, 1, 15, 1);
    const place = new Uint8Array(family === 10 ? 28 : 16);
    new Uint16Array(place.buffer)[0] = family;
    new DataView(place.buffer).setUint16(2, wish.port);
    inetPton()(family, wish.address, place.subarray(family === 10 ? 8 : 4));
    bind(descriptor, place);
    if (wish.listen) check('listen', listen()(descriptor, 1));
    const bound = getsockname(descriptor);
    if (wish.keep) kept.push(descriptor);
    else close(descriptor);
    return { got: new DataView(bound.buffer).getUint16(2) };
  } catch (error) {
    close(descriptor);
    if (error instanceof SystemError) return { refused: error.errnoName };
    throw error;
  }
}

const listen = libcFunction<(fd: number, backlog: number) => number>('int listen(int, int)');
const inetPton = libcFunction<(family: number, text: string, bytes: Uint8Array) => number>(
  'int inet_pton(int, const char *, void *)',
);

if (process.argv[2] === 'serve' && process.send !== undefined) {
  let kept: number[] = [];
  process.on('message', (message: Wish | 'drop') => {
    if (message !== 'drop') {
      process.send?.(attempt(message, kept));
      return;
    }
    kept.forEach(close);
    kept = [];
    process.send?.('dropped');
  });
}
