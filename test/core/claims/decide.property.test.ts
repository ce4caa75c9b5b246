/** What is decided from whatever is seen: never throws, is the same for the same, and gives no number twice. */
import test from 'ava';
import fc from 'fast-check';
import { decide } from '../../../daemon/core/claims/decide.ts';
import { numberOfName } from '../../../daemon/core/claims/numbers.ts';
import {
  type Claim,
  type ClaimRef,
  FINALIZER,
  type HostPort,
  type HostPortClass,
  isTied,
  type ObjectMeta,
  type StatefulSet,
} from '../../../daemon/core/claims/objects.ts';
import type { Source, Step } from '../../../daemon/core/claims/steps.ts';
import type { ClaimView } from '../../../daemon/core/claims/view.ts';

const NAMESPACES = ['shop', 'arena'] as const;
const CLASSES = ['games', 'voice', 'gone'] as const;
const NAMES = ['web', 'game-0', 'db-base-0'] as const;
const UIDS = ['u1', 'u2', 'u3', 'u4', 'u5', 'u6'] as const;
const HOST_PORTS = ['hp-7000', 'hp-7001', 'hp-7002', 'hp-65535', 'hp-443', 'hp-0', 'web', 'hp-07000'] as const;
const TIME = { monotonic: 50_000, text: '2026-01-01T00:00:00Z' };

const meta = (uid: string, name: string): fc.Arbitrary<ObjectMeta> =>
  fc.record({
    name: fc.constant(name),
    uid: fc.constant(uid),
    revision: fc.nat(99).map(String),
    generation: fc.nat(3),
    created: fc.constantFrom('', '2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z'),
    deleting: fc.boolean(),
    finalizers: fc.constantFrom([FINALIZER], [], [FINALIZER, 'other']),
  });

const condition = fc.record({
  type: fc.constantFrom('Bound', 'InUse', 'Ready', 'Theirs'),
  status: fc.constantFrom('True' as const, 'False' as const),
  reason: fc.constantFrom('Bound', 'PoolExhausted', 'Other'),
  message: fc.constantFrom('', 'said'),
  lastTransitionTime: fc.constant('2025-01-01T00:00:00Z'),
  observedGeneration: fc.nat(2),
});
const conditions = fc.uniqueArray(condition, { selector: ({ type }) => type, maxLength: 2 });
const range = fc
  .tuple(fc.integer({ min: 6_999, max: 7_003 }), fc.integer({ min: -1, max: 2 }))
  .map(([first, more]) => ({ first, last: first + more }));

const hostPortClass = (name: string): fc.Arbitrary<HostPortClass> =>
  fc.record({
    meta: meta(`class-${name}`, name),
    pools: fc.array(range, { maxLength: 3 }),
    protocols: fc.constantFrom(['TCP'] as const, ['UDP', 'SCTP'] as const),
    selector: fc.constantFrom(
      undefined,
      { matchLabels: { games: 'yes' }, matchExpressions: [] },
      { matchLabels: {}, matchExpressions: [{ key: 'x', operator: 'Nonsense', values: [] }] },
    ),
    claimsPerNamespace: fc.constantFrom(undefined, 0, 1, 2),
    reclaimPolicy: fc.constantFrom('Delete' as const, 'Retain' as const),
    handover: fc.constantFrom('OnReady' as const, 'OnTerminated' as const),
    status: fc.record({
      observedGeneration: fc.nat(2),
      conditions,
      ports: fc.constantFrom(undefined, 3),
      allocated: fc.constantFrom(undefined, 1),
    }),
  });

const claim = (uid: string, namespace: string, name: string): fc.Arbitrary<Claim> =>
  fc.record({
    meta: meta(uid, name).map((one) => ({ ...one, namespace })),
    className: fc.constantFrom(...CLASSES),
    hostPortName: fc.constantFrom('', '', '', ...HOST_PORTS),
    owners: fc.constantFrom(
      [],
      [{ kind: 'StatefulSet', name: 'base', uid: 'set' }],
      [{ kind: 'Job', name: 'a', uid: 'job' }],
    ),
    deletedAt: fc.constantFrom('', '2026-01-01T00:00:00Z'),
    status: fc
      .tuple(
        fc.constantFrom('', '', ...HOST_PORTS),
        fc.constantFrom('Bound' as const, 'Pending' as const, 'Deleting' as const),
      )
      .chain(([hostPortName, phase]) =>
        fc.record({
          phase: fc.constant(hostPortName === '' ? ('Pending' as const) : phase),
          hostPortName: fc.constant(hostPortName),
          hostPortClassName: fc.constantFrom('', ...CLASSES),
          port: fc.constant(numberOfName(hostPortName)),
          protocols: fc.constant(['TCP'] as const),
          handover: fc.constant('OnReady' as const),
          heldBy: fc.constantFrom(undefined, ['p1']),
          observedGeneration: fc.nat(2),
          conditions,
        }),
      ),
  });

const claimRef: fc.Arbitrary<ClaimRef | undefined> = fc.option(
  fc.record({
    namespace: fc.constantFrom(...NAMESPACES),
    name: fc.constantFrom(...NAMES),
    uid: fc.option(fc.constantFrom(...UIDS, 'dead'), { nil: undefined }),
  }),
  { nil: undefined },
);

const hostPort = (name: string): fc.Arbitrary<HostPort> =>
  fc.record({
    meta: meta(`port-${name}`, name),
    className: fc.constantFrom(...CLASSES),
    claimRef,
    status: fc.record({
      phase: fc.constantFrom(undefined, 'Available' as const, 'Allocated' as const, 'Released' as const),
      port: fc.constant(numberOfName(name)),
      observedGeneration: fc.nat(2),
      conditions,
    }),
  });

const statefulSet: fc.Arbitrary<StatefulSet> = fc.record({
  meta: meta('set', 'base').map((one) => ({ ...one, namespace: 'shop' })),
  start: fc.nat(2),
  replicas: fc.integer({ min: 0, max: 3 }),
  templates: fc.array(
    fc.record({ portName: fc.constantFrom('db', 'Bad_', ''), className: fc.constantFrom('games', '') }),
    { maxLength: 2 },
  ),
});

const claimKeys = NAMESPACES.flatMap((namespace) => NAMES.map((name) => ({ namespace, name })));

const view: fc.Arbitrary<ClaimView> = fc.record({
  classes: fc.subarray(['games', 'voice']).chain((names) => fc.tuple(...names.map(hostPortClass))),
  claims: fc
    .subarray(claimKeys.map((key, index) => ({ ...key, uid: UIDS[index] as string })))
    .chain((keys) => fc.tuple(...keys.map(({ uid, namespace, name }) => claim(uid, namespace, name)))),
  hostPorts: fc.subarray([...HOST_PORTS]).chain((names) => fc.tuple(...names.map((name) => hostPort(name)))),
  statefulSets: fc.array(statefulSet, { maxLength: 1 }),
  namespaces: fc.constantFrom(new Map(), new Map([['shop', { games: 'yes' }]])),
  uses: fc.constantFrom(
    new Map(),
    new Map([
      ['u1', { pods: [], uids: [], count: 0, at: 45_000, wait: 10_000 }],
      ['u2', { pods: ['one'], uids: ['p1'], count: 1, at: 45_000, wait: 5_000 }],
    ]),
  ),
  nodePools: fc.constantFrom(undefined, [], [{ ranges: [{ first: 7000, last: 7000 }], nodes: ['a'], count: 1 }]),
});

const numberOf = (source: Source) => (source.kind === 'make' ? source.number : numberOfName(source.hostPort.meta.name));
const binds = (steps: readonly Step[]) => steps.flatMap((step) => (step.kind === 'bind' ? step : []));

test('it never throws, and decides the same for the same', (t) => {
  fc.assert(
    fc.property(view, (seen) => {
      t.deepEqual(decide(seen, TIME), decide(structuredClone(seen), TIME));
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('in which order things were heard of decides nothing', (t) => {
  fc.assert(
    fc.property(view, (seen) => {
      const turned = {
        ...seen,
        classes: seen.classes.toReversed(),
        claims: seen.claims.toReversed(),
        hostPorts: seen.hostPorts.toReversed(),
      };
      t.deepEqual(decide(turned, TIME), decide(seen, TIME));
    }),
    { numRuns: 500 },
  );
});

test('no number is given to two claims, nor one that a claim has, nor one whose host port is another claim\u2019s', (t) => {
  fc.assert(
    fc.property(view, (seen) => {
      const given = new Map<number, string>();
      const uidOf = new Map(seen.claims.map(({ meta }) => [`${meta.namespace}/${meta.name}`, meta.uid]));
      for (const { claim: one, source } of binds(decide(seen, TIME).steps)) {
        const number = numberOf(source);
        if (number === undefined) return t.fail(`${one.meta.uid} is given no number`);
        t.false(given.has(number), `${number} is given to ${given.get(number)} and ${one.meta.uid}`);
        given.set(number, one.meta.uid);
        const tied = seen.claims.filter((other) => other.meta.uid !== one.meta.uid && isTied(other));
        t.true(tied.every(({ status }) => source.kind === 'have' || numberOfName(status.hostPortName) !== number));
        if (source.kind === 'make') t.true(seen.hostPorts.every(({ meta }) => numberOfName(meta.name) !== number));
        else {
          const ref = source.hostPort.claimRef;
          const own = ref?.uid === one.meta.uid;
          const free =
            ref === undefined || (ref.uid === undefined && uidOf.get(`${ref.namespace}/${ref.name}`) === one.meta.uid);
          t.true(source.kind === 'have' ? own : free);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a claim that has a number is given no other one', (t) => {
  fc.assert(
    fc.property(view, (seen) => {
      const tied = new Map(seen.claims.filter(isTied).map(({ meta, status }) => [meta.uid, status.hostPortName]));
      for (const step of decide(seen, TIME).steps) {
        if (step.kind !== 'bind' && step.kind !== 'lose' && step.kind !== 'tell-claim') continue;
        const { uid } = step.kind === 'tell-claim' ? step.object.meta : step.claim.meta;
        const name = tied.get(uid);
        if (name !== undefined) t.is(step.status.hostPortName, name);
        else if (step.kind !== 'bind') t.is(step.status.hostPortName, '');
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a host port is released only when its claim is not there, or has another number', (t) => {
  fc.assert(
    fc.property(view, (seen) => {
      for (const step of decide(seen, TIME).steps) {
        if (step.kind !== 'release') continue;
        const {
          claimRef: ref,
          meta: { name },
        } = step.hostPort;
        const holder = seen.claims.find(({ meta }) => meta.uid === ref?.uid && meta.name === ref?.name);
        t.true(holder === undefined || holder.meta.namespace !== ref?.namespace || holder.status.hostPortName !== name);
        t.not(ref?.uid, undefined);
      }
    }),
    { numRuns: 2_000 },
  );
});

/** The view once all that is to be told was told, and nothing else was done. */
function told(seen: ClaimView, text: string): ClaimView {
  const statuses = new Map<string, unknown>();
  for (const step of decide(seen, { ...TIME, text }).steps) {
    if (step.kind === 'tell-class' || step.kind === 'tell-claim' || step.kind === 'tell-hostport') {
      statuses.set(step.object.meta.uid, step.status);
    }
  }
  const after = <T extends { readonly meta: ObjectMeta; readonly status: unknown }>(one: T): T => ({
    ...one,
    status: statuses.get(one.meta.uid) ?? one.status,
  });
  return {
    ...seen,
    classes: seen.classes.map(after),
    claims: seen.claims.map(after),
    hostPorts: seen.hostPorts.map(after),
  };
}

test('what is told comes to rest: after three rounds there is nothing to tell', (t) => {
  fc.assert(
    fc.property(view, (seen) => {
      const after = told(told(told(seen, '2026-01-01T00:00:00Z'), '2026-01-01T00:00:09Z'), '2026-01-01T00:00:12Z');
      const { steps } = decide(after, { ...TIME, text: '2026-01-01T00:00:18Z' });
      t.deepEqual(
        steps.filter(({ kind }) => kind.startsWith('tell-')),
        [],
      );
    }),
    { numRuns: 1_000 },
  );
});
