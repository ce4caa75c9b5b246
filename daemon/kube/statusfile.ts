/**
 * The file `.status/<namespace>_<pod>.json` beside the manifests: what a pod in Kubernetes would get from the agent. Format,
 * name, and atomic writing. It must never touch a path that a name could lead elsewhere, and never trusts what it reads.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import { CONDITION } from '../core/annotation.ts';
import { BerthError } from '../core/errors.ts';
import { quoted } from '../core/text.ts';
import type { PodEvent, PodRef, PodResult } from '../core/vocabulary.ts';
import { readBounded } from './manifest.ts';
import { isNamespaceName, isPodName } from './podschema.ts';

/** Hidden: it is not one of the manifests. */
const DIRECTORY = '.status';
/** Newest events that are kept. */
export const MAX_EVENTS = 20;
/** NAME_MAX is 255; a namespace has up to 63 characters and a pod 253. The rest is for `.json` and the temporary name. */
const MAX_STEM = 240;

const time = v.pipe(v.string(), v.isoTimestamp());
const condition = v.object({
  type: v.literal(CONDITION),
  status: v.picklist(['True', 'False']),
  reason: v.string(),
  message: v.string(),
  /** When `status` last changed. */
  lastTransitionTime: time,
});
const event = v.object({
  type: v.picklist(['Normal', 'Warning']),
  reason: v.string(),
  message: v.string(),
  count: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  firstTimestamp: time,
  lastTimestamp: time,
});
const STATUS = v.object({
  namespace: v.string(),
  pod: v.string(),
  uid: v.string(),
  annotations: v.record(v.string(), v.string()),
  conditions: v.pipe(v.array(condition), v.maxLength(1)),
  /** Oldest first, by their last occurrence. */
  events: v.pipe(v.array(event), v.maxLength(MAX_EVENTS)),
});

export type PodStatus = v.InferOutput<typeof STATUS>;

/** An Event and when it happened, in ms since the epoch. */
export interface TimedEvent {
  readonly event: PodEvent;
  readonly at: number;
}

/**
 * `directory` is that of the manifests. A name too long for a file has a hash in it (`_` is in no other pod's name). Throws
 * PUBLISH_FAILED for a name that no pod can have.
 */
export function statusPath(directory: string, { namespace, name }: Omit<PodRef, 'uid'>): string {
  if (!isNamespaceName(namespace) || !isPodName(name)) {
    const pod = `${quoted(namespace)}, pod ${quoted(name)}`;
    throw new BerthError(
      'PUBLISH_FAILED',
      `namespace ${pod}: these are no names of Kubernetes, nothing is written for them`,
    );
  }
  let stem = `${namespace}_${name}`;
  if (stem.length > MAX_STEM) {
    const hash = createHash('sha256').update(stem).digest('hex');
    stem = `${stem.slice(0, MAX_STEM - hash.length - 1)}_${hash}`;
  }
  return join(statusDirectory(directory), `${stem}.json`);
}

/** Where the files are. */
export function statusDirectory(directory: string): string {
  return join(directory, DIRECTORY);
}

/** Undefined when there is no file or it is not one of these. Rejects when it cannot be read. */
export async function readStatus(path: string): Promise<PodStatus | undefined> {
  let bytes: Buffer | undefined;
  try {
    bytes = await readBounded(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return v.parse(STATUS, JSON.parse(String(bytes)));
  } catch {
    return undefined;
  }
}

/** The pods that files here were written for, each in the file that is its own; anything else that stands there is passed over. */
export async function statusPods(directory: string): Promise<readonly PodRef[]> {
  const pods: PodRef[] = [];
  const path = join(directory, DIRECTORY);
  const names = await readdir(path).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  for (const name of names.filter((one) => one.endsWith('.json'))) {
    // One that cannot be read is not known to be one of these.
    const status = await readStatus(join(path, name)).catch(() => undefined);
    if (status === undefined) continue;
    const { namespace, pod, uid } = status;
    if (!isNamespaceName(namespace) || !isPodName(pod)) continue;
    if (statusPath(directory, { namespace, name: pod }) === join(path, name)) pods.push({ namespace, name: pod, uid });
  }
  return pods;
}

/**
 * Atomic: a reader sees the old text or the new one, whole. Not durable: after a power cut the agent writes it again. Rejects,
 * and writes nothing, when the directory is not a real one.
 */
export async function writeStatus(path: string, status: PodStatus): Promise<void> {
  await using directory = await openDirectory(dirname(path), await makeDirectory(dirname(path)));
  const file = pathIn(directory, path);
  const temporary = `${file}.tmp`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    // What a crash left.
    await rm(temporary, { force: true });
    await using written = await open(temporary, flags, 0o644);
    // The umask took bits away from the mode above.
    await written.chmod(0o644);
    await written.writeFile(`${JSON.stringify(status, undefined, 2)}\n`);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Removing what is not there is no error. Rejects, and removes nothing, when the directory is not a real one. */
export async function removeStatus(path: string): Promise<void> {
  try {
    await using directory = await openDirectory(dirname(path));
    const file = pathIn(directory, path);
    for (const one of [file, `${file}.tmp`]) await rm(one, { force: true });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** What is to stand in the file: `result` (undefined: as before) and `events` on top of what `stands` there. */
export function mergeStatus(
  stands: PodStatus | undefined,
  pod: PodRef,
  result: PodResult | undefined,
  events: readonly TimedEvent[],
  now: number,
): PodStatus {
  const before = stands?.uid === pod.uid ? stands : undefined;
  return {
    namespace: pod.namespace,
    pod: pod.name,
    uid: pod.uid,
    annotations: result === undefined ? (before?.annotations ?? {}) : { ...result.annotations },
    conditions: result === undefined ? (before?.conditions ?? []) : conditionsOf(before, result, now),
    events: aggregated(before?.events ?? [], events),
  };
}

/** Nothing is told: there need not be a file. */
export function isBlank({ annotations, conditions, events }: PodStatus): boolean {
  return Object.keys(annotations).length + conditions.length + events.length === 0;
}

function conditionsOf(before: PodStatus | undefined, { condition }: PodResult, now: number): PodStatus['conditions'] {
  if (condition === undefined) return [];
  const { status, reason, message } = condition;
  const [old] = before?.conditions ?? [];
  const lastTransitionTime = old?.status === status ? old.lastTransitionTime : new Date(now).toISOString();
  return [{ type: CONDITION, status, reason, message, lastTransitionTime }];
}

/** The same Event again counts up and becomes the newest, as `kubectl describe` shows it. */
function aggregated(before: PodStatus['events'], added: readonly TimedEvent[]): PodStatus['events'] {
  const events = [...before];
  for (const { event, at } of added) {
    const { type, reason, message } = event;
    const lastTimestamp = new Date(at).toISOString();
    const index = events.findIndex((one) => one.type === type && one.reason === reason && one.message === message);
    const [known] = index === -1 ? [] : events.splice(index, 1);
    const count = (known?.count ?? 0) + 1;
    events.push({
      type,
      reason,
      message,
      count,
      firstTimestamp: known?.firstTimestamp ?? lastTimestamp,
      lastTimestamp,
    });
  }
  return events.slice(-MAX_EVENTS);
}

/** True when it was not there. */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Whoever may write manifests could put a symbolic link in its place, also between a look and the writing: with root's rights
 * files elsewhere would be made, replaced and removed. So the directory is opened, and files are named from what was opened.
 */
async function openDirectory(path: string, made = false): Promise<FileHandle> {
  try {
    const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    // The umask took bits away from what mkdir gave.
    if (made) await directory.chmod(0o755);
    return directory;
  } catch (error) {
    // ENOTDIR also for a link to a directory: the two flags together.
    if (codeOf(error) !== 'ENOTDIR' && codeOf(error) !== 'ELOOP') throw error;
    const why = `${path} is a symbolic link or no directory (ENOTDIR): nothing is written through it; remove it`;
    throw new BerthError('PUBLISH_FAILED', why, { cause: error });
  }
}

/** The file in the directory that was opened, whatever stands at the directory's path by now (Node has no openat). */
function pathIn({ fd }: FileHandle, path: string): string {
  return `/proc/self/fd/${fd}/${basename(path)}`;
}

/** ENOENT. */
export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
