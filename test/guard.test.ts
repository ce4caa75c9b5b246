/** The guard's policy, judged as an API server judges it: its expressions are evaluated on what an agent might try. */
import test from 'ava';
import { Policy } from './policy.ts';

const guard = new Policy('components/guard/policy.yaml');

const AGENT = 'system:serviceaccount:berth-system:berth-agent';
const UNINSTALL = 'system:serviceaccount:berth-system:berth-uninstall';

/** A pod on node-1 as far as it matters here. */
function pod() {
  return {
    metadata: {
      labels: { app: 'web' } as Record<string, string>,
      annotations: { 'berth.dev/ports': '', team: 'a' } as Record<string, string>,
    } as { labels: Record<string, string>; annotations: Record<string, string>; finalizers?: string[] },
    spec: { nodeName: 'node-1', containers: [{ image: 'web' }] } as Record<string, unknown>,
    status: {
      phase: 'Running',
      podIPs: [{ ip: '10.244.1.5' }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  };
}
type Pod = ReturnType<typeof pod>;

interface Attempt {
  readonly before?: (pod: Pod) => void;
  readonly change: (pod: Pod) => void;
  /** Of the token; none before Kubernetes 1.30. */
  readonly tokenNode?: string | undefined;
  readonly user?: string;
}

/** Undefined when the API server lets it pass, else what it says. */
function judge({ before = () => {}, change, user = AGENT, ...attempt }: Attempt): string | undefined {
  const [oldObject, object] = [pod(), pod()];
  before(oldObject);
  before(object);
  change(object);
  const node = 'tokenNode' in attempt ? attempt.tokenNode : 'node-1';
  const extra = node === undefined ? {} : { 'authentication.kubernetes.io/node-name': [node] };
  return guard.judge({ object, oldObject, request: { userInfo: { username: user, extra } } });
}

const annotate = (key: string) => (pod: Pod) => {
  pod.metadata.annotations[key] = 'x';
};

const PASSES: Readonly<Record<string, Attempt>> = {
  'a patch that changes nothing': { change: () => {} },
  'the promise': { change: annotate('port.berth.dev/web') },
  'the announcement': { change: annotate('berth.dev/mappings') },
  'the announcement in the format of Galaxy': { change: annotate('tkestack.io/portmapping') },
  'taking the announcement back': {
    before: annotate('berth.dev/mappings'),
    change: ({ metadata }) => delete metadata.annotations['berth.dev/mappings'],
  },
  'its own condition': {
    change: ({ status }) => status.conditions.push({ type: 'berth.dev/PortsMapped', status: 'True' }),
  },
  'taking the announcement back, by the uninstall': {
    before: annotate('berth.dev/mappings'),
    change: ({ metadata }) => delete metadata.annotations['berth.dev/mappings'],
    user: UNINSTALL,
  },
  'anything of somebody else': { change: annotate('team'), user: 'system:serviceaccount:default:other' },
};
for (const [what, attempt] of Object.entries(PASSES)) {
  test(`the guard lets pass: ${what}`, (t) => t.is(judge(attempt), undefined));
}

const REFUSED: Readonly<Record<string, Attempt & { readonly says: RegExp }>> = {
  'a pod of another node': { change: annotate('berth.dev/mappings'), tokenNode: 'node-2', says: /own node.*"node-2"/ },
  'a token that names no node': { change: annotate('berth.dev/mappings'), tokenNode: undefined, says: /own node/ },
  'a pod that is on no node yet': {
    before: ({ spec }) => delete spec.nodeName,
    change: annotate('berth.dev/mappings'),
    says: /own node/,
  },
  "a foreign annotation's value": { change: annotate('team'), says: /not: team$/ },
  'a new foreign annotation': { change: annotate('example.com/a'), says: /not: example.com\/a$/ },
  'an annotation that only looks like one of Berth': { change: annotate('notberth.dev/ports'), says: /not: notberth/ },
  'a claim, which is the request of a user': {
    change: annotate('claim.berth.dev/web'),
    says: /not: claim\.berth\.dev\/web$/,
  },
  'a template of claims': { change: annotate('claim-template.berth.dev/web'), says: /not: claim-template/ },
  'a foreign annotation removed': { change: ({ metadata }) => delete metadata.annotations.team, says: /not: team$/ },
  'a label': { change: ({ metadata }) => Object.assign(metadata.labels, { app: 'other' }), says: /labels/ },
  'a finalizer': { change: ({ metadata }) => Object.assign(metadata, { finalizers: ['x'] }), says: /finalizers/ },
  'an image': { change: ({ spec }) => Object.assign(spec, { containers: [{ image: 'x' }] }), says: /spec/ },
  'the condition Ready': {
    change: ({ status }) => Object.assign(status, { conditions: [{ type: 'Ready', status: 'False' }] }),
    says: /conditions/,
  },
  'the phase': { change: ({ status }) => Object.assign(status, { phase: 'Failed' }), says: /status/ },
  'the addresses': { change: ({ status }) => Object.assign(status, { podIPs: [{ ip: '192.0.2.1' }] }), says: /status/ },
};
for (const [what, { says, ...attempt }] of Object.entries(REFUSED)) {
  test(`the guard refuses: ${what}`, (t) => {
    for (const user of [AGENT, UNINSTALL]) t.regex(judge({ ...attempt, user }) ?? 'it was let pass', says);
  });
}

test('the policy is in force, and a policy that cannot be evaluated refuses', (t) => {
  const { policy, binding } = guard;
  t.is(binding.spec.policyName, policy.metadata.name);
  t.deepEqual(binding.spec.validationActions, ['Deny']);
  t.is(policy.spec.failurePolicy, 'Fail');
});
