/**
 * The kubeconfig as kubectl reads it: one file, or those of KUBECONFIG as one. @kubernetes/client-node reads each; what it passes over,
 * whom a user pretends to be, is read here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Cluster, Context, KubeConfig, User } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { unusableKubeconfig } from '../unusable.ts';
import { type Impersonation, impersonationOf } from './impersonation.ts';

/** By the name of the user who does. */
export type Impersonations = ReadonlyMap<string, Impersonation>;

type Env = Readonly<Record<string, string | undefined>>;

/** Into `config`: the file at the path, or what kubectl would take; nothing when there is none. Throws CONFIG_INVALID. */
export function loadConfig(config: KubeConfig, path: string | undefined, env: Env = process.env): Impersonations {
  try {
    const files = path === undefined ? filesOf(env).filter((file) => existsSync(file)) : [path];
    if (files.length > 0) return loadFiles(config, files);
    // In a pod its service account; where it is none, what the library assumes is nothing of use.
    if (!env.KUBECONFIG) config.loadFromDefault();
    if (env.KUBECONFIG || config.getCurrentCluster()?.server === 'http://localhost:8080')
      config.loadFromOptions(NOTHING);
    return new Map();
  } catch (error) {
    throw unusableKubeconfig(path, error);
  }
}

const NOTHING = { clusters: [], users: [], contexts: [], currentContext: '' };

/** Files of KUBECONFIG that are not there are passed over. */
function filesOf({ KUBECONFIG: list }: Env): readonly string[] {
  return list ? list.split(delimiter).filter((file) => file !== '') : [join(homedir(), '.kube', 'config')];
}

/** Of two that have one name the first counts. */
function loadFiles(config: KubeConfig, files: readonly string[]): Impersonations {
  const clusters = new Map<string, Cluster>();
  const users = new Map<string, User>();
  const contexts = new Map<string, Context>();
  const impersonations = new Map<string, Impersonation>();
  let currentContext = '';
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    const said = parse(text) as {
      readonly users?: readonly { readonly name?: unknown; readonly user?: unknown }[];
    } | null;
    if (said === null) continue;
    // What another context lacks is in nobody's way.
    config.loadFromFile(file, { onInvalidEntry: 'filter' });
    addNew(clusters, config.getClusters());
    addNew(users, config.getUsers());
    addNew(contexts, config.getContexts());
    for (const { name, user } of said.users ?? []) {
      if (!impersonations.has(String(name))) impersonations.set(String(name), impersonationOf(user));
    }
    currentContext ||= config.getCurrentContext() ?? '';
  }
  const all = { clusters: [...clusters.values()], users: [...users.values()], contexts: [...contexts.values()] };
  config.loadFromOptions({ ...all, currentContext });
  return impersonations;
}

function addNew<T extends { readonly name: string }>(known: Map<string, T>, added: readonly T[]): void {
  for (const one of added) if (!known.has(one.name)) known.set(one.name, one);
}
