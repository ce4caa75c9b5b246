/** What the files of a directory amount to: one pod a name and uid, and what people have to put right. Pure. */
import type { BerthError } from '../core/errors.ts';
import { quoted } from '../core/text.ts';
import { type Pod, podLabel } from '../core/vocabulary.ts';
import { type Entry, fileProblem, type Timing } from './entry.ts';

export interface CatalogView {
  /** By `namespace/name`. */
  readonly pods: ReadonlyMap<string, Pod>;
  /** What has been wrong for so long that it is no passing state, by the name of the file. */
  readonly problems: ReadonlyMap<string, BerthError>;
  /** The files whose pod is in another file too, and since when, in monotonic ms. */
  readonly clashes: ReadonlyMap<string, number>;
}

/** Of two files with the same pod (name or uid) the first by name counts. `clashes` are those of the view before. */
export function viewOf(
  directory: string,
  entries: ReadonlyMap<string, Entry>,
  clashes: CatalogView['clashes'],
  { now, settleMs }: Timing,
): CatalogView {
  const pods = new Map<string, Pod>();
  const problems = new Map<string, BerthError>();
  const clashing = new Map<string, number>();
  const byLabel = new Map<string, string>();
  const byUid = new Map<string, string>();
  for (const [file, { pod, trouble }] of [...entries].sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (trouble !== undefined && now - trouble.since >= settleMs) problems.set(file, trouble.error);
    if (pod === undefined) continue;
    const label = podLabel(pod);
    const first = byLabel.get(label) ?? byUid.get(pod.uid);
    if (first === undefined) {
      byLabel.set(label, file);
      byUid.set(pod.uid, file);
      pods.set(label, pod);
      continue;
    }
    // A file that is being moved can be seen under both names.
    const since = clashes.get(file) ?? now;
    clashing.set(file, since);
    const what = byLabel.has(label) ? `pod ${label}` : `a pod with the uid ${pod.uid}`;
    const why = `${quoted(first)} holds ${what} too and comes first: remove one of them`;
    if (now - since >= settleMs) problems.set(file, fileProblem(directory, file, why));
  }
  return { pods, problems, clashes: clashing };
}
