/** The manifests of deploy/ as objects, and what kustomize makes of their patches. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import type { Asked } from '../../daemon/kube/api/resources.double.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');

/** An object of the API, of any kind. */
// biome-ignore lint/suspicious/noExplicitAny: the API's objects have no types here
export type Thing = any;

export function readManifest(path: string): string {
  return readFileSync(join(DEPLOY, path), 'utf8');
}

export function kustomization(directory: string): Thing {
  return parse(readManifest(join(directory, 'kustomization.yaml')));
}

/** What the kustomization of the directory has beside it. */
export function resourcesOf(directory: string): readonly Thing[] {
  const files: readonly string[] = kustomization(directory).resources.filter((name: string) => name.endsWith('.yaml'));
  return files.flatMap((file) =>
    parseAllDocuments(readManifest(join(directory, file))).map((document) => document.toJS() as Thing),
  );
}

export function filesIn(directory: string): readonly string[] {
  return readdirSync(join(DEPLOY, directory)).filter((name) => name !== 'kustomization.yaml');
}

/** The one of this kind, and of this name where there are several. */
export function only(objects: readonly Thing[], kind: string, name?: string): Thing {
  const found = objects.filter((one) => one.kind === kind && (name === undefined || one.metadata.name === name));
  if (found.length !== 1) throw new Error(`there are ${found.length} of kind ${kind}`);
  return found[0];
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

/** The object after the JSON patch in the file; it may only add, and only where something stands. */
export function patched(object: Thing, path: string): Thing {
  const changed = structuredClone(object);
  for (const { op, path: pointer, value } of parse(readManifest(path)) as readonly Operation[]) {
    if (op !== 'add') throw new Error(`${path}: ${op}`);
    const steps = pointer.split('/').slice(1);
    const last = steps.pop() ?? '';
    const target = steps.reduce((one, step) => one[step], changed);
    if (Array.isArray(target) && last === '-') target.push(value);
    else if (!Array.isArray(target) && target[last] === undefined) target[last] = value;
    else throw new Error(`${path}: ${pointer} replaces something`);
  }
  return changed;
}

/** What the rules allow, as `update secrets/berth-aggregator-ca`, `create tokenreviews.authentication.k8s.io`; sorted. */
export function rightsOf(rules: readonly Thing[]): readonly string[] {
  const rights = rules.flatMap(({ apiGroups, resources, verbs, resourceNames = [undefined] }) =>
    apiGroups.flatMap((group: string) =>
      resources.flatMap((resource: string) =>
        verbs.flatMap((verb: string) =>
          resourceNames.map((name: string | undefined) => right(verb, group, resource, name)),
        ),
      ),
    ),
  );
  return [...new Set<string>(rights)].sort();
}

/** The right that a request needs, as RBAC has it; names where a rule can name them. */
export function rightFor({ method, path, query }: Pick<Asked, 'method' | 'path' | 'query'>): string {
  const [, kind, ...rest] = path.split('/');
  const group = kind === 'api' ? '' : (rest[0] ?? '');
  const [first = '', ...others] = rest.slice(kind === 'api' ? 1 : 2);
  const inside = first === 'namespaces' && others.length > 1;
  const [resource = '', name, sub] = inside ? others.slice(1) : [first, ...others];
  const reading = name !== undefined ? 'get' : query.watch !== undefined ? 'watch' : 'list';
  const verb = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? reading;
  const named = ['secrets', 'configmaps', 'leases'].includes(resource);
  const whole = sub === undefined || group !== 'berth.dev' ? resource : `${resource}/${sub}`;
  return right(verb, group, whole, named ? name : undefined);
}

function right(verb: string, group: string, resource: string, name: string | undefined): string {
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : `/${name}`}`;
}
