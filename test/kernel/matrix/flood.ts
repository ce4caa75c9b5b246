/**
 * Asks a host port without a pause, over TCP and UDP, IPv4 and IPv6, every time from a new socket: each question is a new
 * connection, which the rules of that very moment decide. In a process of its own, so that nothing holds it up.
 */
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { constants, setPriority } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../namespace.ts';
import type { Addresses } from './topology.ts';
import { answered } from './waiting.ts';

/** What became of the questions so far. Those that wait for an answer are in none of the other numbers. */
export interface Tally {
  readonly asked: number;
  readonly answered: number;
  readonly refused: number;
  /** No answer and no refusal in time, or another error. */
  readonly lost: number;
}

interface Order {
  readonly source: Addresses;
  readonly target: Addresses;
  readonly port: number;
  /** How long no answer is a loss, in ms. */
  readonly patience: number;
}

export class Flood implements Disposable {
  readonly #child: ChildProcess;

  /** Runs until it is stopped. */
  constructor(from: Namespace, order: Order) {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    this.#child = from.node(fileURLToPath(import.meta.url), [JSON.stringify(order)], { stdio: [...stdio] });
  }

  async tally(): Promise<Tally> {
    const message = once(this.#child, 'message');
    this.#child.send('tally');
    return (await message)[0];
  }

  /** Resolves when so many questions more were asked. */
  async more(questions: number): Promise<void> {
    const { asked } = await this.tally();
    await answered(async () => (await this.tally()).asked >= asked + questions || undefined, `${questions} questions`);
  }

  /** Resolves when the last question has come to its end. */
  async stop(): Promise<Tally> {
    this.#child.send('stop');
    const settled = ({ asked, answered: heard, refused, lost }: Tally) => asked === heard + refused + lost;
    const tally = await answered(async () => {
      const now = await this.tally();
      return settled(now) ? now : undefined;
    }, 'every question has come to its end');
    this.#child.kill('SIGKILL');
    return tally;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** At most so many questions at a time, by protocol and family. */
const AT_ONCE = 32;

type Outcome = 'answered' | 'refused' | 'lost';

function outcomeOf(error: NodeJS.ErrnoException): Outcome {
  return error.code === 'ECONNREFUSED' ? 'refused' : 'lost';
}

function overTcp(localAddress: string, host: string, { port, patience }: Order): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const socket = connect({ host, port, localAddress }, () => socket.write('?'));
  socket.setTimeout(patience, () => resolve('lost'));
  socket.once('data', () => resolve('answered'));
  socket.once('error', (error) => resolve(outcomeOf(error)));
  socket.once('end', () => resolve('lost'));
  return promise.finally(() => socket.destroy());
}

function overUdp(source: string, host: string, { port, patience }: Order): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const timer = setTimeout(() => resolve('lost'), patience);
  socket.once('message', () => resolve('answered'));
  socket.on('error', (error) => resolve(outcomeOf(error)));
  socket.bind(0, source, () => socket.connect(port, host, () => socket.send('?')));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

async function flood(order: Order): Promise<void> {
  // Whoever is asked is not to be short of a processor for it.
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  const tally = { asked: 0, answered: 0, refused: 0, lost: 0 };
  let stopped = false;
  process.on('message', (message) => {
    if (message === 'stop') stopped = true;
    else process.send?.(tally);
  });
  const lanes = ([4, 6] as const).flatMap((family) => [
    () => overTcp(order.source[family], order.target[family], order),
    () => overUdp(order.source[family], order.target[family], order),
  ]);
  const ask = async (question: () => Promise<Outcome>) => {
    while (!stopped) {
      tally.asked++;
      tally[await question()]++;
      await turn();
    }
  };
  await Promise.all(lanes.flatMap((lane) => Array.from({ length: AT_ONCE }, () => ask(lane))));
}

const [, program, order] = process.argv;
if (order !== undefined && program === fileURLToPath(import.meta.url)) await flood(JSON.parse(order));
