/** TokenReview and SubjectAccessReview as the API server answers them. */
import type { Asked, Reply } from '../../../daemon/kube/api/resources.double.ts';
import type { Store } from '../../../daemon/kube/api/store.double.ts';

const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const ACCESS_REVIEWS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

/** Undefined: it is about something else. */
export function review(store: Store, { method, path, body }: Asked): Reply | undefined {
  if (method !== 'POST') return undefined;
  if (path === TOKEN_REVIEWS) return { code: 201, body: reviewToken(store, body.spec) };
  if (path === ACCESS_REVIEWS) return { code: 201, body: reviewAccess(store, body.spec) };
  return undefined;
}

/** Of tokens for the API server: what is meant when a review names none. */
const API_AUDIENCE = 'https://kubernetes.default.svc';

interface Spec {
  readonly token?: string;
  readonly audiences?: readonly string[];
}

/** The answer holds what was asked, the token too, as the real one's does. */
function reviewToken(store: Store, spec: Spec = {}): object {
  const known = store.tokens.get(spec.token ?? '');
  const asked = spec.audiences?.length ? spec.audiences : [API_AUDIENCE];
  const audiences = asked.filter((one) => known?.audiences.includes(one));
  const status =
    known === undefined || audiences.length === 0
      ? { authenticated: false, user: {}, error: '[invalid bearer token, token audiences is invalid]' }
      : { authenticated: true, user: known.user, audiences };
  return { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: {}, spec, status };
}

function reviewAccess(store: Store, spec: object = {}): object {
  const allowed = store.allows(spec as Parameters<Store['allows']>[0]);
  const status = { allowed, ...(allowed ? {} : { reason: 'no RBAC policy matched' }) };
  return { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', metadata: {}, spec, status };
}
