/** Waits until the numbers of this pod stand in its annotations. The file is looked at again and again: inotify tells nothing of a volume that is replaced by a link. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { GALAXY, isClaimKey, PORTS, PROMISE_PREFIX } from '../../core/annotation.ts';
import { BerthError, messageOf } from '../../core/errors.ts';
import type { Clock } from '../../reconcile/ports.ts';
import { linesOf } from './lines.ts';
import type { WaitOptions } from './options.ts';
import { parsePodinfo } from './podinfo.ts';

const LOOK_MS = 200;
/** A number, or first and last of a block. */
const NUMBERS = /^\d{1,5}(-\d{1,5})?$/;

/** Resolves to the lines. Rejects with NUMBERS_MISSING when they do not come in time, or cannot come. */
export async function waitForNumbers(
  options: Pick<WaitOptions, 'annotations' | 'port' | 'timeout'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  const end = clock.monotonic() + options.timeout;
  for (;;) {
    const { annotations, why } = await look(options.annotations);
    const numbers = numbersOf(annotations);
    const wanted = options.port ?? [...numbers.keys()];
    const missing = wanted.filter((name) => !numbers.has(name));
    if (wanted.length > 0 && missing.length === 0)
      return linesOf(wanted.map((name) => ['PORT', name, numbers.get(name) ?? '']));
    refuseHopeless(annotations, options.annotations);
    if (signal.aborted || clock.monotonic() >= end) {
      const what = missing.length > 0 ? `no number of ${missing.join(', ')}` : 'no number';
      const where = why ?? `${options.annotations} has ${what} (${PROMISE_PREFIX}NAME)`;
      const remedy = 'see the Events of the pod (kubectl describe pod), and whether an agent runs on its node';
      throw new BerthError('NUMBERS_MISSING', `${where} after ${options.timeout / 1_000} s: ${remedy}`);
    }
    await pause(clock, Math.min(LOOK_MS, end - clock.monotonic()), signal);
  }
}

/**
 * Writes the lines once they are there, to the file if one is named, and tells how the command ends. 1 when it was interrupted before:
 * nothing was written, and what a shell does next must not go on as if it had.
 */
export async function deliver(
  lines: Promise<string>,
  envFile: string | undefined,
  stdout: { write(text: string): unknown },
  signal: AbortSignal,
): Promise<0 | 1> {
  try {
    if (envFile === undefined) stdout.write(await lines);
    else await writeEnvFile(envFile, await lines);
    return 0;
  } catch (error) {
    if (signal.aborted) return 1;
    throw error;
  }
}

/** A reader finds the whole file or none. */
async function writeEnvFile(path: string, lines: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await writeFile(temporary, lines, { mode: 0o644 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new BerthError('NUMBERS_MISSING', `cannot write --env-file ${path}: ${messageOf(error)}`, { cause: error });
  }
}

async function look(path: string): Promise<{ annotations: ReadonlyMap<string, string>; why?: string }> {
  try {
    return { annotations: parsePodinfo(await readFile(path, 'utf8')) };
  } catch (error) {
    return { annotations: new Map(), why: `${path} cannot be read: ${messageOf(error)}` };
  }
}

function numbersOf(annotations: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const promises = [...annotations].filter(([key, value]) => key.startsWith(PROMISE_PREFIX) && NUMBERS.test(value));
  return new Map(promises.map(([key, value]) => [key.slice(PROMISE_PREFIX.length), value]));
}

/** Waiting for what nobody asked for would never end. */
function refuseHopeless(annotations: ReadonlyMap<string, string>, path: string): void {
  if (annotations.size === 0 || annotations.has(PORTS) || [...annotations.keys()].some(isClaimKey)) return;
  const galaxy = annotations.has(GALAXY) ? ` (${GALAXY} alone gives no ${PROMISE_PREFIX}NAME)` : '';
  throw new BerthError('NUMBERS_MISSING', `${path}: the pod asks for no host port${galaxy}: annotate it with ${PORTS}`);
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(ms, resolve);
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
  cancel();
}
