/**
 * What one file of the directory holds, as last read: the pod, and why it cannot be understood, if so. A file that cannot be
 * understood keeps its pod, as it may be half written. Reading never fails: what goes wrong is part of the entry.
 */
import { hash } from 'node:crypto';
import { statSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import type { Pod } from '../core/vocabulary.ts';
import { parseManifest, readBounded } from './manifest.ts';
import { withAnnotations } from './pod.ts';
import { isMissing, readStatus, statusPath } from './statusfile.ts';

export interface Trouble {
  readonly error: BerthError;
  /** Monotonic ms since when this text stands there, or the file cannot be read. */
  readonly since: number;
  /** Monotonic ms at which the file is to be read again without an event. */
  readonly retryAt: number;
}

export interface Entry {
  /** Of the bytes that were read last; empty when they could not be read. */
  readonly digest: string;
  /** The pod as the file had it when it was last understood. */
  readonly manifest?: Pod;
  /** The same with what the agent wrote about it. */
  readonly pod?: Pod;
  readonly trouble?: Trouble;
  /** Of the manifest and of what the agent wrote about it, each from before it was read. */
  readonly stamps?: readonly [string | undefined, string | undefined];
}

/** When files are read, in monotonic ms, and how long one may be in trouble before that is worth a word. */
export interface Timing {
  readonly now: number;
  readonly settleMs: number;
}

/** `directory`: not a file at all. `vanished`: removed, or renamed, since the directory was listed. */
export type Reading = Entry | 'directory' | 'vanished';

/**
 * A write within the clock tick of the one before leaves the times of a file as they were (4 to 10 ms; 2 s on FAT). A file that
 * was left alone for so many ms is told from a later one by its change time, which no program can set.
 */
const SETTLED_MS = 3_000n;
/** The stamp of a file that is not there: there need not be a status. */
const MISSING = 'missing';

/** `before` is what the last reading gave: files that have the stamps of then are not read again, nor the same bytes parsed. */
export async function readEntry(
  directory: string,
  name: string,
  before: Entry | undefined,
  timing: Timing,
): Promise<Reading> {
  const path = join(directory, name);
  const stamp = stampOf(path);
  if (before !== undefined && isUnchanged(before, directory, stamp)) return before;
  let digest = '';
  try {
    const bytes = await readBounded(path);
    if (bytes === undefined) return 'directory';
    digest = hash('sha256', bytes);
    const same = before?.digest === digest ? before : undefined;
    if (same?.trouble !== undefined) return troubled(same, digest, same.trouble.error, timing);
    const manifest = same?.manifest ?? parseManifest(bytes, name);
    const statusStamp = stampOf(statusPath(directory, manifest));
    return { digest, manifest, pod: await overlaid(directory, manifest), stamps: [stamp, statusStamp] };
  } catch (error) {
    if (isMissing(error) && (await isVanished(path))) return 'vanished';
    return troubled(before, digest, fileProblem(directory, name, messageOf(error), error), timing);
  }
}

function isUnchanged({ manifest, trouble, stamps }: Entry, directory: string, stamp: string | undefined): boolean {
  if (manifest === undefined || trouble !== undefined || stamps === undefined) return false;
  const [known, knownOfStatus] = stamps;
  if (known === undefined || known === MISSING || known !== stamp || knownOfStatus === undefined) return false;
  return knownOfStatus === stampOf(statusPath(directory, manifest));
}

/**
 * Tells one content of a file from the next; undefined when it cannot: the file may change without another stamp. Synchronous: a
 * call to a local file system costs less than handing it to a thread, and there are two for each pod.
 */
function stampOf(path: string): string | undefined {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return MISSING;
    if (stat.ctimeMs > BigInt(Date.now()) - SETTLED_MS) return undefined;
    return `${stat.dev}:${stat.ino}:${stat.size}:${stat.ctimeNs}`;
  } catch {
    return undefined;
  }
}

/** PODS_UNREADABLE for one file. */
export function fileProblem(directory: string, name: string, why: string, cause?: unknown): BerthError {
  return new BerthError('PODS_UNREADABLE', `${join(directory, printable(name, 255))}: ${why}`, { cause });
}

/**
 * Another text begins anew: a slow writer is not a problem. What could not even be read is tried again for ever (a link may
 * find its target), a wrong text once.
 */
function troubled(before: Entry | undefined, digest: string, error: BerthError, { now, settleMs }: Timing): Entry {
  const since = before?.digest === digest ? (before.trouble?.since ?? now) : now;
  const later = digest === '' ? now + settleMs : Number.POSITIVE_INFINITY;
  const retryAt = now < since + settleMs ? since + settleMs : later;
  return { ...before, digest, trouble: { error, since, retryAt } };
}

/** It was not there a moment ago. A link without a target is: its target cannot be read. */
async function isVanished(path: string): Promise<boolean> {
  return lstat(path).then((now) => !now.isSymbolicLink(), isMissing);
}

/** With the annotations that the agent wrote about this very pod, as the API server would have them. */
async function overlaid(directory: string, manifest: Pod): Promise<Pod> {
  // A status that cannot be read is written anew; it must not be in the way of the pod.
  const status = await readStatus(statusPath(directory, manifest)).catch(() => undefined);
  if (status?.uid !== manifest.uid) return manifest;
  const pod = withAnnotations(manifest, status.annotations);
  return status.conditions.length > 0 ? { ...pod, conditioned: true } : pod;
}
