/** A whole command line behind `berth get`, `list`, `watch` and `nodes`, run in this process; what it printed and how it ended. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connectTo } from '../../daemon/connection.ts';
import { type ClientName, readClientOptions } from '../../daemon/ops/clientoptions.ts';
import { get, list, nodes, watch } from '../../daemon/rpc/commands.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Terminal {
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  readonly ended: Promise<number>;
  interrupt(): void;
}

export function begin(line: string, now: () => number = Date.now): Terminal {
  const [name, ...argv] = line.split(' ') as [ClientName, ...string[]];
  const [stdout, stderr, abort] = [new PassThrough(), new PassThrough(), new AbortController()];
  const command = readClientOptions(name, { argv, env: {} });
  if (command.kind === 'help') throw new Error('help was asked for');
  const connect = () => connectTo(command.options.ask);
  const around = { stdout, stderr, signal: abort.signal, connect, now };
  const ended = { get, list, nodes, watch }[name](command.positionals, command.options, around);
  return { stdout, stderr, ended, interrupt: () => abort.abort() };
}

export async function berth(line: string, now?: () => number): Promise<Outcome> {
  const { stdout, stderr, ended } = begin(line, now);
  const [out, err] = [text(stdout), text(stderr)];
  const code = await ended;
  stdout.end();
  stderr.end();
  return { code, out: await out, err: await err };
}

/** Everything written until it contains the text. */
export async function readUntil(stream: PassThrough, text: string): Promise<string> {
  let seen = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    seen += chunk;
    if (seen.includes(text)) return seen;
  }
  return seen;
}
