/**
 * What the controller relies on an API server for, tried with its own adapters on the double that the simulation uses and on the real
 * kube-apiserver with the definitions of deploy/claims. Without a kube-apiserver on this machine a skipped test says so.
 */
import test, { type ExecutionContext } from 'ava';
import type { ClaimObserver, Written } from '../../daemon/claims/ports.ts';
import { type Claim, FINALIZER, type HostPort } from '../../daemon/core/claims/objects.ts';
import { ApiClient } from '../../daemon/kube/api/client.ts';
import { TransportDouble } from '../../daemon/kube/api/transport.double.ts';
import { ApiLease } from '../../daemon/kube/claims/lease.ts';
import { ClaimObjects } from '../../daemon/kube/claims/objects.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { resourcesOf, type Thing } from '../deploy/manifests.ts';
import { findBinaries } from '../kube/apiserver/binaries.ts';
import { RealServer } from '../kube/apiserver/realserver.ts';
import { clientAs } from '../kube/apiserver/testserver.ts';
import { claimPath, classPath, hostPortPath, Rig } from './rig.ts';

/** An API server with the definitions, and people. */
interface Place extends AsyncDisposable {
  readonly client: ApiClient;
  ask(method: 'POST' | 'PATCH' | 'DELETE' | 'GET', path: string, body?: object): Promise<Thing>;
}

const BERTH = '/apis/berth.dev/v1alpha1';
const NAMESPACE = 'shop';

async function double(): Promise<Place> {
  const rig = new Rig();
  rig.createNamespace(NAMESPACE);
  const later = (_: number, run: () => void) => {
    const immediate = setImmediate(run);
    return () => clearImmediate(immediate);
  };
  const transport = new TransportDouble({
    server: rig.server,
    journey: () => ({ there: 0, back: 0 }),
    lag: () => 0,
    arrive: (ms, run) => void later(ms, run),
    // The end of a watch after minutes is of no interest here.
    deliver: (ms, run) => (ms > 60_000 ? () => {} : later(ms, run)),
  });
  const credentials = { server: 'https://double', grant: async () => ({ headers: {}, tls: {} }), rejected() {} };
  const client = new ApiClient({ credentials, clock: systemClock, userAgent: 'test', transport });
  return {
    client,
    ask: async (method, path, body) => rig.ask(method, path, body),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

async function real(server: RealServer): Promise<Place> {
  const admin = clientAs('admin', server, systemClock);
  const ask: Place['ask'] = async (method, path, body) =>
    admin.send({
      method,
      path,
      ...(body === undefined ? {} : { body }),
      ...(method === 'PATCH' ? { type: 'application/merge-patch+json' } : {}),
    });
  return { client: admin, ask, [Symbol.asyncDispose]: () => admin[Symbol.asyncDispose]() };
}

/** Definitions are served some moments after they were made. */
async function define(place: Place): Promise<void> {
  const crds = resourcesOf('claims').filter(({ kind }) => kind === 'CustomResourceDefinition');
  for (const crd of crds) await place.ask('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
  for (const { metadata, spec } of crds) {
    for (let served = false; !served; ) {
      const { status } = await place.ask(
        'GET',
        `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`,
      );
      served = status?.conditions?.some((one: Thing) => one.type === 'Established' && one.status === 'True');
    }
    for (let listed = false; !listed; ) {
      listed = await place.ask('GET', `${BERTH}/${spec.names.plural}`).then(
        () => true,
        () => false,
      );
    }
  }
  await place.ask('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
}

function adapter({ client }: Place, left = 60_000): ClaimObjects {
  const { signal } = new AbortController();
  const fence = { left: () => left };
  return new ClaimObjects({ client, clock: systemClock, random: Math.random, fence, reconnectCapMs: 1_000, signal });
}

function written<T>({ kind, ...rest }: Written<T>): T {
  if (kind !== 'written' || !('object' in rest)) throw new Error('it was refused');
  return rest.object as T;
}

let numbers = 20_000;
/** Each case has numbers and names of its own: they share a server. */
const fresh = () => ++numbers;

async function claimIn(place: Place, more: object = {}): Promise<Claim> {
  const name = `claim-${fresh()}`;
  const metadata = { namespace: NAMESPACE, name, ...more };
  const object = {
    apiVersion: 'berth.dev/v1alpha1',
    kind: 'HostPortClaim',
    metadata,
    spec: { hostPortClassName: 'games' },
  };
  await place.ask('POST', claimPath(NAMESPACE), object);
  const claim = await adapter(place).claim({ namespace: NAMESPACE, name });
  if (claim === undefined) throw new Error('the claim is not there');
  return claim;
}

const refOf = ({ meta }: Claim) => ({ namespace: meta.namespace, name: meta.name, uid: meta.uid });

interface Case {
  readonly title: string;
  readonly run: (t: ExecutionContext, place: Place) => Promise<void>;
}

const CASES: readonly Case[] = [
  {
    title: 'a HostPort of a number is made once',
    run: async (t, place) => {
      const api = adapter(place);
      const [one, other] = [await claimIn(place), await claimIn(place)];
      const number = fresh();
      const made = written<HostPort>(await api.makeHostPort(number, 'games', refOf(one)));
      t.like(made, { className: 'games', claimRef: refOf(one) });
      t.like(made.meta, { name: `hp-${number}`, finalizers: [FINALIZER], deleting: false });
      t.deepEqual(await api.makeHostPort(number, 'games', refOf(other)), { kind: 'stale' });
      t.deepEqual((await api.hostPort(`hp-${number}`))?.claimRef, refOf(one));
    },
  },
  {
    title: 'of two that make one HostPort at the same time one succeeds',
    run: async (t, place) => {
      const api = adapter(place);
      const claims = await Promise.all(Array.from({ length: 8 }, () => claimIn(place)));
      const number = fresh();
      const outcomes = await Promise.all(claims.map((one) => api.makeHostPort(number, 'games', refOf(one))));
      t.is(outcomes.filter(({ kind }) => kind === 'written').length, 1);
    },
  },
  {
    title: 'a write that names an old revision is refused, and changes nothing',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      const held = written<Claim>(await api.setFinalizers('claim', claim.meta, [FINALIZER]));
      const status = { ...claim.status, phase: 'Pending' as const, observedGeneration: 1 };
      t.deepEqual(await api.setStatus('claim', claim.meta, status), { kind: 'stale' });
      t.deepEqual(await api.setFinalizers('claim', claim.meta, []), { kind: 'stale' });
      t.deepEqual((await api.claim(claim.meta))?.meta, held.meta);
    },
  },
  {
    title: 'a write that names another life of the object is refused',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      const { namespace, name } = claim.meta;
      await place.ask('DELETE', claimPath(namespace, name), {});
      const again = { apiVersion: 'berth.dev/v1alpha1', kind: 'HostPortClaim', metadata: { namespace, name } };
      await place.ask('POST', claimPath(namespace), { ...again, spec: { hostPortClassName: 'games' } });
      t.not((await api.claim(claim.meta))?.meta.uid, claim.meta.uid);
      t.deepEqual(await api.setFinalizers('claim', claim.meta, [FINALIZER]), { kind: 'stale' });
      t.deepEqual(await api.setStatus('claim', claim.meta, { ...claim.status, phase: 'Pending' }), { kind: 'stale' });
    },
  },
  {
    title: 'a status is written as a whole, and neither touches the spec nor is touched with it',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      const condition = {
        type: 'Bound',
        status: 'True' as const,
        reason: 'Bound',
        message: 'bound',
        lastTransitionTime: '2026-01-01T00:00:00Z',
        observedGeneration: 1,
      };
      const bound = {
        phase: 'Bound' as const,
        hostPortName: 'hp-7000',
        hostPortClassName: 'games',
        port: 7000,
        protocols: ['TCP' as const],
        handover: 'OnReady' as const,
        heldBy: undefined,
        observedGeneration: 1,
        conditions: [condition],
      };
      const told = written<Claim>(await api.setStatus('claim', claim.meta, bound));
      t.deepEqual(told.status, bound);
      t.is(told.meta.generation, claim.meta.generation);
      await place.ask('PATCH', claimPath(NAMESPACE, claim.meta.name), { status: null, spec: { hostPortName: 'hp-1' } });
      const now = (await api.claim(claim.meta)) as Claim;
      t.deepEqual(now.status, bound);
      t.is(now.meta.generation, claim.meta.generation + 1);
      const pending = { ...bound, phase: 'Pending' as const, port: undefined, handover: undefined, protocols: [] };
      t.deepEqual(written<Claim>(await api.setStatus('claim', now.meta, pending)).status, pending);
    },
  },
  {
    title: 'what is deleted stays while a finalizer holds it, takes no new ones, and goes with the last',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      const made = written<HostPort>(await api.makeHostPort(fresh(), 'games', refOf(claim)));
      const marked = written<HostPort>(await api.removeHostPort(made.meta));
      t.true(marked.meta.deleting);
      t.not(marked.meta.revision, made.meta.revision);
      t.deepEqual(await api.makeHostPort(Number(made.meta.name.slice(3)), 'games', refOf(claim)), { kind: 'stale' });
      await t.throwsAsync(api.setFinalizers('hostport', marked.meta, [FINALIZER, 'example.com/more']), {
        message: /no new finalizers can be added/,
      });
      const changed = written<HostPort>(await api.setClaimRef(marked.meta, undefined, [FINALIZER]));
      t.is(changed.claimRef, undefined, 'it can be changed otherwise');
      t.true(written<HostPort>(await api.setFinalizers('hostport', changed.meta, [])).meta.deleting);
      t.is(await api.hostPort(made.meta.name), undefined);
    },
  },
  {
    title: 'a HostPort is deleted only as it was seen',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      const made = written<HostPort>(await api.makeHostPort(fresh(), 'games', refOf(claim)));
      const changed = written<HostPort>(await api.setClaimRef(made.meta, undefined, [FINALIZER]));
      t.deepEqual(await api.removeHostPort(made.meta), { kind: 'stale' });
      t.deepEqual(await api.removeHostPort({ ...changed.meta, uid: claim.meta.uid }), { kind: 'stale' });
      t.false((await api.hostPort(made.meta.name))?.meta.deleting);
    },
  },
  {
    title: 'what is gone is gone, and not an error',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      await place.ask('DELETE', claimPath(NAMESPACE, claim.meta.name), {});
      t.is(await api.claim(claim.meta), undefined);
      t.deepEqual(await api.setFinalizers('claim', claim.meta, [FINALIZER]), { kind: 'stale' });
    },
  },
  {
    title: 'lists hold what was written just before',
    run: async (t, place) => {
      const api = adapter(place);
      const claim = await claimIn(place);
      const made = written<HostPort>(await api.makeHostPort(fresh(), 'games', refOf(claim)));
      t.true((await api.claims()).some(({ meta }) => meta.uid === claim.meta.uid));
      t.true((await api.hostPorts()).some(({ meta }) => meta.uid === made.meta.uid));
    },
  },
  {
    title: 'a claim that is made for a StatefulSet is that one\u2019s',
    run: async (t, place) => {
      const api = adapter(place);
      const name = `claim-${fresh()}`;
      const meta = { ...(await claimIn(place)).meta, name: 'base' };
      const owner = { meta, start: 0, replicas: 1, templates: [] };
      const made = written<Claim>(await api.makeClaim({ namespace: NAMESPACE, name }, 'games', owner));
      t.deepEqual(
        made.owners.map(({ kind, name, uid }) => ({ kind, name, uid })),
        [{ kind: 'StatefulSet', name: 'base', uid: meta.uid }],
      );
      t.deepEqual(await api.makeClaim({ namespace: NAMESPACE, name }, 'games', owner), { kind: 'stale' });
    },
  },
  {
    title: 'of the pods of a namespace those count that name claims and have not ended',
    run: async (t, place) => {
      const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
      const pod = (name: string, annotations: object) =>
        place.ask('POST', pods, {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { namespace: NAMESPACE, name, annotations },
          spec: { containers: [{ name: 'app', image: 'app' }] },
        });
      const uids = [
        (await pod('one', { 'claim.berth.dev/web': 'mine', 'claim.berth.dev/tls': 'other' })).metadata.uid,
        (await pod('base-0', { 'claim-template.berth.dev/web': 'games', 'port.berth.dev/web': '7000' })).metadata.uid,
      ];
      await pod('plain', {});
      await pod('done', { 'claim.berth.dev/web': 'mine' });
      await place.ask('PATCH', `${pods}/done/status`, { status: { phase: 'Succeeded' } });
      const users = (await adapter(place).podsOf(NAMESPACE)).toSorted((a, b) => (a.pod < b.pod ? -1 : 1));
      const created = users.map((user) => user.created);
      for (const time of created) t.regex(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      t.deepEqual(users, [
        { pod: 'base-0', uid: uids[1], created: created[0] ?? '', promised: true, claims: ['web-base-0'] },
        { pod: 'one', uid: uids[0], created: created[1] ?? '', promised: false, claims: users[1]?.claims ?? [] },
      ]);
      t.deepEqual(users[1]?.claims.toSorted(), ['mine', 'other']);
    },
  },
  {
    title: 'the pods of one node are listed, and annotations are written through their status',
    run: async (t, place) => {
      const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
      const [here, there] = [`pod-${fresh()}`, `pod-${fresh()}`];
      const [node, other] = [`node-${fresh()}`, `node-${fresh()}`];
      for (const [name, nodeName] of [
        [here, node],
        [there, other],
      ]) {
        const spec = { nodeName, containers: [{ name: 'app', image: 'app' }] };
        await place.ask('POST', pods, {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name, namespace: NAMESPACE },
          spec,
        });
      }
      const condition = (type: string) => ({ type, status: 'True' });
      await place.ask('PATCH', `${pods}/${here}/status`, { status: { conditions: [condition('ContainersReady')] } });
      const { client } = place;
      await client.send({
        method: 'PATCH',
        path: `${pods}/${here}/status`,
        type: 'application/strategic-merge-patch+json',
        body: {
          metadata: { annotations: { 'port.berth.dev/web': '7000' } },
          status: { conditions: [condition('berth.dev/PortsMapped')] },
        },
      });
      const query = { fieldSelector: `spec.nodeName=${node}` };
      const { items } = (await client.send({ method: 'GET', path: '/api/v1/pods', query })) as Thing;
      t.deepEqual(
        items.map(({ metadata }: Thing) => metadata.name),
        [here],
      );
      t.is(items[0].metadata.annotations['port.berth.dev/web'], '7000');
      const types: readonly string[] = items[0].status.conditions.map(({ type }: Thing) => type);
      t.true(['ContainersReady', 'berth.dev/PortsMapped'].every((type) => types.includes(type)));
    },
  },
  {
    title: 'everything is listed and watched',
    run: async (t, place) => {
      const end = new AbortController();
      const heard: string[] = [];
      const listed = Promise.withResolvers<void>();
      const gone = Promise.withResolvers<void>();
      const kinds = new Set<string>();
      const name = `class-${fresh()}`;
      const observer: ClaimObserver = {
        listed: (kind) => void (kinds.add(kind).size === 5 && listed.resolve()),
        changed: (kind, object) => {
          if (object.meta.name === name) heard.push(`${kind} changed`);
        },
        deleted: (kind, object) => {
          if (object.meta.name !== name) return;
          heard.push(`${kind} deleted`);
          gone.resolve();
        },
        failed: (error) => listed.reject(error),
      };
      const watching = adapter(place).watch(observer, end.signal);
      await listed.promise;
      await place.ask('POST', `${BERTH}/hostportclasses`, {
        apiVersion: 'berth.dev/v1alpha1',
        kind: 'HostPortClass',
        metadata: { name },
        spec: { pools: [{ start: 1, end: 2 }] },
      });
      await place.ask('DELETE', classPath(name), {});
      await gone.promise;
      end.abort();
      await watching;
      t.deepEqual(heard, ['class changed', 'class deleted']);
    },
  },
  {
    title: 'a lease is taken by one, as it was read',
    run: async (t, place) => {
      const name = `lease-${fresh()}`;
      let now = 1_767_225_600_123;
      const store = () => new ApiLease({ client: place.client, namespace: NAMESPACE, name, now: () => ++now });
      const [one, other] = [store(), store()];
      t.is(await one.read(), undefined);
      const record = (holder: string) => ({ holder, seconds: 15, transitions: 0 });
      t.true(await one.create(record('one')));
      t.false(await other.create(record('other')));
      const [mine, theirs] = [await one.read(), await other.read()];
      t.deepEqual(mine?.record, record('one'));
      t.true(await one.update(record('one'), mine?.revision ?? '', false));
      t.false(await other.update(record('other'), theirs?.revision ?? '', true));
      t.is((await other.read())?.record.holder, 'one');
    },
  },
];

for (const { title, run } of CASES) {
  test(`the double: ${title}`, async (t) => {
    await using place = await double();
    await run(t, place);
  });
}

const binaries = findBinaries();
if (binaries.kind === 'missing') test.skip(`the real kube-apiserver is left out: ${binaries.why}`, () => {});
else {
  const starting = Promise.withResolvers<RealServer>();
  test.before(async (t) => {
    await RealServer.start(binaries).then(starting.resolve, starting.reject);
    const server = await starting.promise;
    await using place = await real(server);
    await define(place);
    t.log(`the cases are tried on ${server.name}`);
  });
  test.after.always(async () => (await starting.promise)[Symbol.asyncDispose]());
  for (const { title, run } of CASES) {
    test(`the real kube-apiserver: ${title}`, async (t) => {
      await using place = await real(await starting.promise);
      await run(t, place);
    });
  }

  const REFUSED: readonly (readonly [string, string, object])[] = [
    ['no pool', 'hostportclasses', { pools: [] }],
    ['a port 0', 'hostportclasses', { pools: [{ start: 0, end: 1 }] }],
    ['a port 65536', 'hostportclasses', { pools: [{ start: 1, end: 65_536 }] }],
    ['a protocol that is none', 'hostportclasses', { pools: [{ start: 1, end: 2 }], protocols: ['ICMP'] }],
    ['a policy that is none', 'hostportclasses', { pools: [{ start: 1, end: 2 }], reclaimPolicy: 'Recycle' }],
    ['no class', 'hostports', {}],
    ['a claimRef without a name', 'hostports', { hostPortClassName: 'games', claimRef: { namespace: 'shop' } }],
  ];
  for (const [what, plural, spec] of REFUSED) {
    test(`the real kube-apiserver refuses ${plural} with ${what}`, async (t) => {
      await using place = await real(await starting.promise);
      const kind = plural === 'hostports' ? 'HostPort' : 'HostPortClass';
      const object = { apiVersion: 'berth.dev/v1alpha1', kind, metadata: { name: `x-${fresh()}` }, spec };
      await t.throwsAsync(place.ask('POST', `${BERTH}/${plural}`, object), { message: /422 Invalid/ });
    });
  }

  test('the real kube-apiserver fills in what is not said', async (t) => {
    await using place = await real(await starting.promise);
    const metadata = { name: `x-${fresh()}` };
    const made = await place.ask('POST', `${BERTH}/hostportclasses`, {
      apiVersion: 'berth.dev/v1alpha1',
      kind: 'HostPortClass',
      metadata,
      spec: { pools: [{ start: 1, end: 2 }] },
    });
    t.like(made.spec, { protocols: ['TCP', 'UDP'], reclaimPolicy: 'Delete', handover: 'OnReady' });
    t.is((await place.ask('GET', hostPortPath('none')).catch(({ message }) => message)).includes('404'), true);
  });
}
