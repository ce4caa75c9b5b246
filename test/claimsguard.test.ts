/** The guard of claims and host ports: what anybody but their controller might try with them. */
import test from 'ava';
import { Policy } from './policy.ts';

const guard = new Policy('components/guard/claims.yaml');

const CONTROLLER = 'system:serviceaccount:berth-system:berth-aggregator';
const FINALIZER = 'berth.dev/hostport';
const REF = { namespace: 'shop', name: 'web', uid: 'uid-web' };

/** Of any of the kinds, as far as it matters here. */
interface Thing {
  metadata: { finalizers?: string[]; labels?: Record<string, string> };
  spec: { hostPortClassName?: string; hostPortName?: string; claimRef?: Partial<typeof REF>; pools?: object[] };
  status?: { phase?: string; port?: number };
}

const claim = (): Thing => ({
  metadata: { finalizers: [FINALIZER, 'example.com/own'] },
  spec: { hostPortClassName: 'games' },
  status: { phase: 'Bound', port: 7000 },
});
const hostPort = (phase: string, claimRef?: Partial<typeof REF>) => (): Thing => ({
  metadata: { finalizers: [FINALIZER] },
  spec: { hostPortClassName: 'games', ...(claimRef && { claimRef: { ...claimRef } }) },
  status: { phase, port: 7000 },
});
const allocated = hostPort('Allocated', REF);
const hostPortClass = (): Thing => ({ metadata: { finalizers: [FINALIZER] }, spec: { pools: [] } });

interface Attempt {
  readonly of: () => Thing;
  readonly change: (object: Thing) => void;
  readonly status?: boolean;
  readonly user?: string;
  /** May `override`. */
  readonly overrides?: boolean;
}

function judge({ of, change, status = false, user = 'alice', overrides = false }: Attempt): string | undefined {
  const [oldObject, object] = [of(), of()];
  change(object);
  const resource = of === claim ? 'hostportclaims' : of === hostPortClass ? 'hostportclasses' : 'hostports';
  return guard.judge({
    object,
    oldObject,
    request: { userInfo: { username: user }, resource: { resource }, ...(status ? { subResource: 'status' } : {}) },
    allows: (verb, on) => overrides && verb === 'override' && on === 'hostports',
  });
}

const release = ({ metadata }: Thing) => {
  metadata.finalizers = metadata.finalizers?.filter((one) => one !== FINALIZER) ?? [];
};
const unref = ({ spec }: Thing) => delete spec.claimRef;

const REFUSED: Readonly<Record<string, Attempt & { readonly says: RegExp }>> = {
  'the finalizer of a bound claim taken away': {
    of: claim,
    change: release,
    says: /finalizer berth\.dev\/hostport away/,
  },
  'all finalizers of a claim taken away': {
    of: claim,
    change: ({ metadata }) => delete metadata.finalizers,
    says: /finalizer berth\.dev\/hostport away/,
  },
  'the finalizer of a host port taken away': { of: allocated, change: release, says: /finalizer/ },
  'the finalizer of a class taken away': { of: hostPortClass, change: release, says: /finalizer/ },
  'another number in the status of a claim': {
    of: claim,
    change: ({ status }) => Object.assign(status ?? {}, { port: 443 }),
    status: true,
    says: /status/,
  },
  'the status of a claim taken away': {
    of: claim,
    change: (object) => delete object.status,
    status: true,
    says: /status/,
  },
  'the status of a class that has none yet': {
    of: hostPortClass,
    change: (object) => Object.assign(object, { status: {} }),
    status: true,
    says: /status/,
  },
  'an allocated host port called released': {
    of: allocated,
    change: ({ status }) => Object.assign(status ?? {}, { phase: 'Released' }),
    status: true,
    says: /status/,
  },
  'an allocated host port turned to another claim': {
    of: allocated,
    change: ({ spec }) => Object.assign(spec, { claimRef: { ...REF, uid: 'uid-other' } }),
    says: /claimRef/,
  },
  'the claim taken from an allocated host port': { of: allocated, change: unref, says: /claimRef/ },
  'the uid taken from the claim of an allocated host port': {
    of: allocated,
    change: ({ spec }) => delete spec.claimRef?.uid,
    says: /claimRef/,
  },
  'another class for an allocated host port': {
    of: allocated,
    change: ({ spec }) => Object.assign(spec, { hostPortClassName: 'other' }),
    says: /class/,
  },
  'the claim taken from a host port that is being deleted': {
    of: hostPort('Deleting', REF),
    change: unref,
    says: /claimRef/,
  },
  'the claim taken from a host port that says nothing yet': {
    of: () => ({ metadata: {}, spec: { hostPortClassName: 'games', claimRef: REF } }),
    change: unref,
    says: /claimRef/,
  },
};
for (const [what, { says, ...attempt }] of Object.entries(REFUSED)) {
  test(`the guard of claims refuses: ${what}`, (t) => {
    t.regex(judge(attempt) ?? 'it was let pass', says);
    t.regex(judge({ ...attempt, user: 'system:serviceaccount:other:berth-aggregator' }) ?? 'it was let pass', says);
    t.is(judge({ ...attempt, user: CONTROLLER }), undefined, 'the controller may');
    t.is(judge({ ...attempt, overrides: true }), undefined, 'and who may override');
  });
}

const PASSES: Readonly<Record<string, Attempt>> = {
  'a claim that wants another class': {
    of: claim,
    change: ({ spec }) => Object.assign(spec, { hostPortClassName: 'x' }),
  },
  'a finalizer of somebody else taken away': {
    of: claim,
    change: ({ metadata }) => Object.assign(metadata, { finalizers: [FINALIZER] }),
  },
  'a label': { of: allocated, change: ({ metadata }) => Object.assign(metadata, { labels: { team: 'a' } }) },
  'a status that is sent with the rest of the object, and is not written': {
    of: claim,
    change: (object) => delete object.status,
  },
  'a released host port that is given back': { of: hostPort('Released', REF), change: unref },
  'a host port that is kept for another claim by its name': {
    of: hostPort('Available', { namespace: 'shop', name: 'web' }),
    change: ({ spec }) => Object.assign(spec, { claimRef: { namespace: 'shop', name: 'other' } }),
  },
  'a host port that is nobody’s, of another class': {
    of: hostPort('Available'),
    change: ({ spec }) => Object.assign(spec, { hostPortClassName: 'other' }),
  },
  'another pool of a class': { of: hostPortClass, change: ({ spec }) => spec.pools?.push({ start: 1, end: 2 }) },
};
for (const [what, attempt] of Object.entries(PASSES)) {
  test(`the guard of claims lets pass: ${what}`, (t) => t.is(judge(attempt), undefined));
}

test('the policy of claims is in force, and when it cannot be evaluated it refuses', (t) => {
  const { policy, binding } = guard;
  t.is(binding.spec.policyName, policy.metadata.name);
  t.deepEqual(binding.spec.validationActions, ['Deny']);
  t.is(policy.spec.failurePolicy, 'Fail');
});
