/** Secrets and ConfigMaps, as the API server reads and replaces them. */
import { type Asked, type Reply, refusal } from '../../../daemon/kube/api/resources.double.ts';
import type { Store } from '../../../daemon/kube/api/store.double.ts';

/** Undefined: it is about something else. */
export function answerData(store: Store, { method, path, body }: Asked): Reply | undefined {
  const [, namespace, kind, name] = /\/namespaces\/([^/]+)\/(secrets|configmaps)\/([^/]+)$/.exec(path) ?? [];
  if (kind === undefined) return undefined;
  const key = `${kind}/${namespace}/${name}`;
  const stands = store.data.get(key);
  if (stands === undefined) return refusal(404, 'NotFound', `${key} not found`);
  if (method === 'GET') return { code: 200, body: stands };
  if (method !== 'PUT') return refusal(405, 'MethodNotAllowed', key);
  const { resourceVersion } = body.metadata;
  if (resourceVersion !== undefined && resourceVersion !== stands.metadata.resourceVersion) {
    return refusal(409, 'Conflict', 'the object has been modified');
  }
  return { code: 200, body: store.putData(stands.kind, stands.metadata.namespace, stands.metadata.name, body.data) };
}
