/**
 * UDP packets over IPv4 as fast as they can be sent, every one a new connection: some ten thousand a second, to be on their
 * way through the rules at the very moment in which these change. In a process of its own.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { send } from '../../../daemon/native/libc.ts';
import type { Namespace } from '../namespace.ts';
import { openRaw } from './raw.ts';
import { answered } from './waiting.ts';

const IPPROTO_UDP = 17;

export class Spray implements Disposable {
  readonly #child: ChildProcess;

  constructor(from: Namespace, source: string, address: string, port: number) {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    this.#child = from.node(fileURLToPath(import.meta.url), [source, address, String(port)], { stdio: [...stdio] });
  }

  /** How many were sent. */
  async sent(): Promise<number> {
    const message = once(this.#child, 'message');
    this.#child.send('sent');
    return (await message)[0];
  }

  async started(): Promise<void> {
    await answered(async () => (await this.sent()) > 0 || undefined, 'packets are sent');
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

async function spray(source: string, address: string, port: number): Promise<void> {
  let sent = 0;
  process.on('message', () => process.send?.(sent));
  const descriptor = openRaw(IPPROTO_UDP, address, source);
  const packet = Buffer.alloc(9);
  packet.writeUInt16BE(port, 2);
  packet.writeUInt16BE(packet.length, 4);
  // The checksum stays 0: none (RFC 768).
  for (;;) {
    for (let count = 0; count < 256; count++) {
      packet.writeUInt16BE(1_024 + (sent++ % 60_000), 0);
      send(descriptor, packet);
    }
    await turn();
  }
}

const [, program, source = '', address = '', port] = process.argv;
if (port !== undefined && program === fileURLToPath(import.meta.url)) await spray(source, address, Number(port));
