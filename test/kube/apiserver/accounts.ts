/** Who talks to an API server in tests, by which token, and what each may do. The agent's rights are those of its manifest. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** `reader` may see pods and change nothing; nobody knows the token of `stranger`. */
export type Account = 'admin' | 'agent' | 'reader' | 'stranger';

/** A rule of RBAC in the one API group that there is. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const MANIFEST = join(import.meta.dirname, '../../../deploy/base/rbac.yaml');

export const RULES: Readonly<Record<Exclude<Account, 'admin' | 'stranger'>, readonly Rule[]>> = {
  agent: agentRules(),
  reader: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }],
};

export function tokenOf(account: Account): string {
  return `token-of-${account}`;
}

/** As the API server knows it. */
export function userOf(account: Account): string {
  return account === 'admin' ? account : `system:serviceaccount:berth-system:berth-${account}`;
}

/** `verb` of RBAC; `resource` with its subresource, `pods/status`. */
export function isAllowed(account: Account, verb: string, resource: string): boolean {
  if (account === 'admin') return true;
  if (account === 'stranger') return false;
  return RULES[account].some(({ resources, verbs }) => resources.includes(resource) && verbs.includes(verb));
}

/** The roles and their bindings, to be created. */
export function roleObjects(): readonly (readonly [collection: string, object: object])[] {
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
  return Object.entries(RULES).flatMap(([account, rules]) => {
    const metadata = { name: `berth-${account}` };
    const subject = { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: userOf(account as Account) };
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: metadata.name };
    return [
      ['clusterroles', { ...rbac, kind: 'ClusterRole', metadata, rules }],
      ['clusterrolebindings', { ...rbac, kind: 'ClusterRoleBinding', metadata, roleRef, subjects: [subject] }],
    ] as const;
  });
}

function agentRules(): readonly Rule[] {
  const objects = parseAllDocuments(readFileSync(MANIFEST, 'utf8')).map((document) => document.toJS());
  const role = objects.find(({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'berth-agent');
  if (role === undefined) throw new Error(`${MANIFEST} has no ClusterRole berth-agent`);
  return role.rules;
}
