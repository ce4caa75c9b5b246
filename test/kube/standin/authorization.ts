/** Who may do what at the stand-in, as RBAC has it. Tokens of no account of `accounts.ts` may do everything. */
import { type Asked, type Reply, refusal } from '../../../daemon/kube/api/resources.double.ts';
import { type Account, isAllowed, tokenOf, userOf } from '../apiserver/accounts.ts';

const ACCOUNTS: readonly Account[] = ['admin', 'agent', 'reader', 'stranger'];
const VERBS: Readonly<Record<string, string>> = { POST: 'create', PATCH: 'patch', DELETE: 'delete' };

/** Undefined: it may. */
export function authorize(asked: Asked): Reply | undefined {
  const account = ACCOUNTS.find((one) => asked.headers.authorization === `Bearer ${tokenOf(one)}`);
  if (account === undefined) return undefined;
  if (account === 'stranger') return refusal(401, 'Unauthorized', 'Unauthorized');
  const { verb, resource } = attributesOf(asked);
  if (isAllowed(account, verb, resource)) return undefined;
  return refusal(403, 'Forbidden', `User "${userOf(account)}" cannot ${verb} resource "${resource}"`);
}

/** `/api/v1/namespaces/NAMESPACE/pods/NAME/status`, or `/api/v1/nodes/NAME`; of a group `/apis/GROUP/VERSION/…`. */
function attributesOf({ method, path, query }: Asked) {
  const parts = path.split('/').slice(path.startsWith('/apis/') ? 4 : 3);
  const [resource = '', name, sub] = parts[0] === 'namespaces' && parts.length > 2 ? parts.slice(2) : parts;
  const read = query.watch === 'true' ? 'watch' : name === undefined ? 'list' : 'get';
  return { verb: VERBS[method] ?? read, resource: sub === undefined ? resource : `${resource}/${sub}` };
}
