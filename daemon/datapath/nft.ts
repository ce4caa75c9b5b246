/**
 * The program `nft`: the only way to load the skeleton, which is nft text, and a slow way to change elements, as JSON. Text
 * goes to its standard input, never through a shell or its arguments.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ElementChange } from '../../rules/element.ts';
import { changeJson } from '../../rules/json.ts';
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import { check, libcFunction } from '../native/libc.ts';
import { encoding, notPermitted, type Transport } from './transport.ts';

/** Never PATH: in an agent's environment that is a way in, and npm has an unrelated program of this name. */
const PLACES = ['/usr/sbin/nft', '/sbin/nft', '/usr/bin/nft', '/usr/local/sbin/nft'];
/** The first with all that the skeleton uses, as for kube-proxy and knftables. */
const OLDEST = [1, 0, 1] as const;
/** Felix has seen nft take this long on a loaded node. */
const TIMEOUT_MS = 60_000;
const MAX_MESSAGE = 500;
const INSTALL = 'install nftables 1.0.1 or newer in the image of the agent';

export class Nft implements Transport {
  readonly description: string;
  readonly #path: string;
  readonly #timeout: number;

  private constructor(path: string, version: string, timeout: number) {
    this.#path = path;
    this.description = `nft ${version} (${path})`;
    this.#timeout = timeout;
  }

  /** Finds the program and asks its version. Rejects with NFT_UNAVAILABLE and the remedy. */
  static async find(places: readonly string[] = PLACES, timeoutMs = TIMEOUT_MS): Promise<Nft> {
    const path = places.find(isExecutable);
    if (path === undefined) {
      throw new BerthError('NFT_UNAVAILABLE', `nft is at none of ${places.join(', ')}: ${INSTALL}`);
    }
    const { stdout } = await execute(path, ['--version'], '', timeoutMs);
    const version = /^nftables v(\d+)\.(\d+)\.(\d+)/.exec(stdout);
    if (version === null || isOlder(version.slice(1).map(Number), OLDEST)) {
      throw new BerthError('NFT_UNAVAILABLE', `${path} is "${printable(stdout, 64)}": ${INSTALL}`);
    }
    return new Nft(path, version.slice(1).join('.'), timeoutMs);
  }

  /** One transaction. Rejects with NFT_REFUSED (what nft or the kernel says) or NFT_UNAVAILABLE. */
  async run(kind: 'text' | 'json', commands: string): Promise<void> {
    const args = kind === 'json' ? ['-j', '-f', '-'] : ['-f', '-'];
    const { exitCode, stderr } = await execute(this.#path, args, commands, this.#timeout);
    if (exitCode === 0) return;
    if (stderr.includes('Operation not permitted')) throw notPermitted(this.#path);
    throw new BerthError('NFT_REFUSED', `nft: ${printable(stderr, MAX_MESSAGE)}`);
  }

  /** 5 to 15 ms, and more the more chains and sets other programs have on the node. */
  async commit(change: ElementChange): Promise<boolean> {
    const commands = encoding(() => changeJson(change));
    await this.run('json', commands);
    return true;
  }
}

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const memfdCreate = libcFunction<(name: string, flags: number) => number>(
  'int memfd_create(const char *, unsigned int)',
);
const MFD_CLOEXEC = 1;

/** Runs the program to its end. Rejects with NFT_UNAVAILABLE when that was not possible. */
async function execute(path: string, args: readonly string[], input: string, timeout: number): Promise<Outcome> {
  // nft opens /dev/stdin, which fails (ENXIO) for the socket that Node calls a pipe. A file in memory can be opened anew.
  const stdin = check('memfd_create', memfdCreate()('nft', MFD_CLOEXEC));
  try {
    fill(stdin, Buffer.from(input));
    const child = spawn(path, args, {
      stdio: [stdin, 'pipe', 'pipe'],
      // A message in another language, or a library from elsewhere, would not be understood.
      env: { LC_ALL: 'C' },
      timeout,
      killSignal: 'SIGKILL',
    });
    const [exitCode, stdout, stderr] = await Promise.all([exitOf(child), read(child.stdout), read(child.stderr)]);
    if (exitCode !== null) return { exitCode, stdout: stdout.trimEnd(), stderr: stderr.trimEnd() };
    throw unavailable(path, child.killed ? `gave no answer within ${timeout} ms` : `was ended by ${child.signalCode}`);
  } finally {
    closeSync(stdin);
  }
}

/** Null when a signal ended it. Rejects with NFT_UNAVAILABLE when it could not be started. */
async function exitOf(child: ChildProcess): Promise<number | null> {
  try {
    await once(child, 'close');
    return child.exitCode;
  } catch (error) {
    throw unavailable(child.spawnfile, `could not be run: ${messageOf(error)}`, error);
  }
}

function read(stream: Readable | null): Promise<string> | '' {
  return stream === null ? '' : text(stream);
}

function unavailable(path: string, why: string, cause?: unknown): BerthError {
  return new BerthError('NFT_UNAVAILABLE', `${path} ${printable(why, MAX_MESSAGE)}`, { cause });
}

/** Leaves the descriptor's position at the beginning: nft reads text from there, and only JSON by opening the file anew. */
function fill(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isOlder(version: readonly number[], than: readonly number[]): boolean {
  const index = than.findIndex((part, at) => part !== version[at]);
  return index >= 0 && (version[index] ?? 0) < (than[index] ?? 0);
}
