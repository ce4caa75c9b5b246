/** Where the real API server is found, if it is: what `setup-envtest` installs, or what `make test-cluster` builds. */
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

export interface Binaries {
  readonly kind: 'found';
  readonly etcd: string;
  readonly apiserver: string;
}

/** Why there is none, for people. */
export interface NoBinaries {
  readonly kind: 'missing';
  readonly why: string;
}

/** With KUBEBUILDER_ASSETS both lie there; else the cache of `make test-cluster` has the one, and the PATH the other. */
export function findBinaries(env: Readonly<Record<string, string | undefined>> = process.env): Binaries | NoBinaries {
  const assets = env.KUBEBUILDER_ASSETS;
  const cache = join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'berth-cluster/bin');
  const path = [...(env.PATH ?? '').split(delimiter), '/usr/bin'];
  const apiserver = firstExecutable([assets ?? cache], 'kube-apiserver');
  const etcd = firstExecutable(assets === undefined ? path : [assets], 'etcd');
  if (apiserver !== undefined && etcd !== undefined) return { kind: 'found', etcd, apiserver };
  const missing = [
    ...(apiserver === undefined ? [`no kube-apiserver in ${assets ?? cache}`] : []),
    ...(etcd === undefined ? [`no etcd in ${assets ?? 'the PATH'}`] : []),
  ];
  const remedy = 'set KUBEBUILDER_ASSETS to a directory with both, or run make test-cluster once';
  return { kind: 'missing', why: `${missing.join(' and ')}: ${remedy}` };
}

function firstExecutable(directories: readonly string[], name: string): string | undefined {
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
