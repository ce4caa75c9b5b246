/** Where a pod is written down: what the commands that `berth doctor` shows are about. It only looks. */
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from './core/vocabulary.ts';
import { isManifestName, parseManifest, readBounded } from './kube/manifest.ts';
import { statusPath } from './kube/statusfile.ts';
import type { PodPlace } from './ops/doctor/facts.ts';
import type { DoctorOptions } from './ops/doctor/options.ts';

/** Never rejects: what cannot be read is left out. */
export async function podPlace(source: DoctorOptions['pods'], pod: Pod): Promise<PodPlace> {
  if (source?.kind !== 'dir') return { kind: 'cluster' };
  const directory = source.path;
  const manifest = await manifestOf(directory, pod).catch(() => undefined);
  const status = statusPath(directory, pod);
  const told = await access(status).then(
    () => true,
    () => false,
  );
  return {
    kind: 'directory',
    directory,
    ...(manifest === undefined ? {} : { manifest }),
    ...(told ? { status } : {}),
  };
}

/** Of two files with the same pod the first by name counts. */
async function manifestOf(directory: string, pod: Pod): Promise<string | undefined> {
  const names = (await readdir(directory)).filter(isManifestName).sort();
  for (const name of names) {
    const path = join(directory, name);
    if (await isOf(path, name, pod).catch(() => false)) return path;
  }
  return undefined;
}

async function isOf(path: string, name: string, { namespace, name: podName, uid }: Pod): Promise<boolean> {
  const bytes = await readBounded(path);
  // Parsing is dear, and the name of the pod stands in its file.
  if (!bytes?.includes(podName)) return false;
  const found = parseManifest(bytes, name);
  return found.namespace === namespace && found.name === podName && found.uid === uid;
}
