/** Claims in a real cluster: numbers that are known beforehand, rolling updates without a gap, StatefulSets on two nodes. */
import test from 'ava';
import { bothReplicas, installAggregator, reporting } from './aggregator.ts';
import {
  apply,
  conditionOf,
  get,
  kubectl,
  makeNamespace,
  mappingsOf,
  serverPod,
  serverSet,
  type Thing,
  until,
} from './cluster.ts';
import { NAMESPACE, objectsOf } from './install.ts';
import { addressOf, CLIENT, fetchOutside, HAS_NODES, Load } from './lab.ts';
import { story, withAgent } from './story.ts';

const [NODE, OTHER] = ['node-1', 'node-2'];
/** Outside of the pools of the nodes. */
const FIRST = 7000;
const CLASS = 'games';
const COUNTED = 'count/hostportclaims.berth.dev';

const namespace = withAgent('claiming', reporting);

test.before(async () => {
  if (!HAS_NODES) return;
  const objects = await objectsOf('deploy/claims');
  const isDefinition = ({ kind }: Thing) => kind === 'CustomResourceDefinition';
  await apply(objects.filter(isDefinition));
  await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
  await apply(objects.filter((object) => !isDefinition(object)));
  await installAggregator('--claims');
  await apply([hostPortClass(CLASS, FIRST, FIRST + 9)]);
});

test.after.always(async () => {
  if (!HAS_NODES) return;
  // While the controller runs: it takes the finalizers away.
  await kubectl('delete', 'deployments,statefulsets,pods', '--all', '-n', namespace, '--wait=false');
  await kubectl('delete', 'hostportclaims', '--all', '-n', namespace, '--timeout=90s');
  await kubectl('delete', 'hostportclasses,hostports', '--all', '--timeout=60s');
  await kubectl('delete', 'deployment/berth-aggregator', '-n', NAMESPACE, '--wait=false');
});

story('a claim is bound to a number that is known before there is a pod, and the pod gets it', async (t) => {
  const number = await bound('lobby');
  t.is(number, FIRST);
  t.regex(await kubectl('get', 'hpc', '-n', namespace), /^lobby +Bound +games +hp-7000 +7000 /m);
  t.regex(await kubectl('get', 'hp'), /^hp-7000 +games +Allocated +7000 /m);
  t.regex(await kubectl('get', 'hpcl'), /^games /m);
  const pod = serverPod(namespace, 'lobby', { node: NODE, annotations: { 'claim.berth.dev/web': 'lobby' } });
  await apply([pod]);
  const mappings = await mappingsOf(namespace, 'lobby', ['web']);
  t.is(mappings.get('web')?.hostPort, FIRST);
  t.is(await until('it answers', 30, () => fetchOutside(addressOf(NODE), FIRST)), `pod=lobby peer=${CLIENT}`);
});

story('a pod whose claim is not there yet waits, says so, and is mapped when it is', async (t) => {
  await apply([serverPod(namespace, 'early', { node: NODE, annotations: { 'claim.berth.dev/web': 'early' } })]);
  const condition = await until('it says why', 60, async () => {
    const found = conditionOf(await get('pod', 'early', '-n', namespace), 'berth.dev/PortsMapped');
    return found?.reason === 'ClaimPending' && found;
  });
  t.is(condition.status, 'False');
  t.regex(condition.message, /early/);
  const number = await bound('early');
  t.is((await mappingsOf(namespace, 'early', ['web'])).get('web')?.hostPort, number);
});

story(
  'a rolling update on one node loses no request and breaks no connection, where one with a hostPort stays Pending',
  async (t) => {
    const number = await bound('rolled');
    const gated = {
      node: NODE,
      annotations: { 'claim.berth.dev/web': 'rolled' },
      readinessGates: ['berth.dev/PortsMapped'],
    };
    const claimed = lingering(serverSet('Deployment', namespace, 'rolled', 1, gated));
    const fixed = lingering(serverSet('Deployment', namespace, 'fixed', 1, { node: NODE }));
    fixed.spec.template.spec.containers[0].ports[0].hostPort = 7500;
    await apply([claimed, fixed]);
    for (const name of ['rolled', 'fixed'])
      await kubectl('rollout', 'status', `deployment/${name}`, '-n', namespace, '--timeout=60s');
    const before = await until('it answers', 30, () => fetchOutside(addressOf(NODE), number));
    const load = new Load(addressOf(NODE), number);
    try {
      for (const deployment of [claimed, fixed]) {
        deployment.spec.template.metadata.annotations['example.com/version'] = '2';
      }
      await apply([claimed, fixed]);
      await until('the new pod serves', 60, async () => (await fetchOutside(addressOf(NODE), number)) !== before);
      // The old pod has been told to end: it takes no new connection, and keeps the one that is open.
      await until('the old pod ends', 60, async () => {
        const { items } = await get('pods', '-n', namespace, '-l', 'app=rolled');
        return items.some(({ metadata }: Thing) => metadata.deletionTimestamp !== undefined);
      });
      await kubectl('rollout', 'status', 'deployment/rolled', '-n', namespace, '--timeout=60s');
      await until('requests have gone to the new pod for a while', 10, async () => {
        for (let index = 0; index < 100; index++) await fetchOutside(addressOf(NODE), number);
        return true;
      });
      const report = await load.stop();
      t.deepEqual(report.failures, []);
      t.true(report.answers > 100, `${report.answers} answers`);
      t.log(`${report.answers} answers, the longest gap ${report.longestGapMs.toFixed(0)} ms`);
    } finally {
      load[Symbol.dispose]();
    }
    const stuck = await until('the pod with the hostPort is not scheduled', 60, async () => {
      const { items } = await get('pods', '-n', namespace, '-l', 'app=fixed', '--field-selector=status.phase=Pending');
      const condition = items[0] && conditionOf(items[0], 'PodScheduled');
      return condition?.status === 'False' && condition;
    });
    t.regex(stuck.message, /didn't have free ports/);
    t.log(await kubectl('get', 'pods', '-n', namespace, '-l', 'app in (rolled, fixed)'));
    await kubectl('delete', 'deployment', 'rolled', 'fixed', '-n', namespace, '--wait=false');
  },
);

story(
  "a StatefulSet's numbers stay with their ordinals: over deletion, on another node, scaled down and up",
  async (t) => {
    const set: Thing = serverSet('StatefulSet', namespace, 'arena', 2, {
      annotations: { 'claim-template.berth.dev/web': CLASS },
    });
    await apply([set]);
    const numberOf = async (pod: string) => (await mappingsOf(namespace, pod, ['web'])).get('web')?.hostPort;
    const numbers = [await numberOf('arena-0'), await numberOf('arena-1')];
    t.not(numbers[0], numbers[1]);
    const claims = await get('hostportclaims', '-n', namespace);
    const own = claims.items.filter(({ metadata }: Thing) => metadata.name.startsWith('web-arena-'));
    t.deepEqual(
      own.map(({ metadata, status }: Thing) => [metadata.name, metadata.ownerReferences[0].kind, status.port]),
      [
        ['web-arena-0', 'StatefulSet', numbers[0]],
        ['web-arena-1', 'StatefulSet', numbers[1]],
      ],
    );

    t.log(await kubectl('get', 'hostportclasses,hostportclaims,hostports', '-n', namespace));

    const { spec, metadata } = await get('pod', 'arena-0', '-n', namespace);
    const elsewhere = spec.nodeName === NODE ? OTHER : NODE;
    await kubectl('cordon', spec.nodeName);
    try {
      await kubectl('delete', 'pod', 'arena-0', '-n', namespace, '--wait=false');
      await until('it runs on the other node', 120, async () => {
        const found = await get('pod', 'arena-0', '-n', namespace);
        return found.metadata.uid !== metadata.uid && found.spec.nodeName === elsewhere;
      });
      t.is(await numberOf('arena-0'), numbers[0]);
    } finally {
      await kubectl('uncordon', spec.nodeName);
    }
    const answer = await until('it answers', 30, () => fetchOutside(addressOf(elsewhere), numbers[0] as number));
    t.is(answer, `pod=arena-0 peer=${CLIENT}`);

    await kubectl('scale', 'statefulset/arena', '--replicas=1', '-n', namespace);
    await until('the second pod is gone', 120, async () => {
      const { items } = await get('pods', '-n', namespace, '-l', 'app=arena');
      return items.length === 1;
    });
    t.is((await get('hostportclaim', 'web-arena-1', '-n', namespace)).status.port, numbers[1]);
    await kubectl('scale', 'statefulset/arena', '--replicas=2', '-n', namespace);
    await until('the second pod is there', 60, () => get('pod', 'arena-1', '-n', namespace));
    t.is(await numberOf('arena-1'), numbers[1]);

    await kubectl('delete', 'statefulset/arena', '-n', namespace);
    await until('its claims and numbers are gone with it', 120, async () => {
      const left = (await get('hostportclaims', '-n', namespace)).items;
      const ports = (await get('hostports')).items.map(({ metadata }: Thing) => metadata.name);
      return (
        !left.some(({ metadata }: Thing) => metadata.name.startsWith('web-arena-')) &&
        !numbers.some((number) => ports.includes(`hp-${number}`))
      );
    });
  },
);

story("Kubernetes' own quota counts claims", async (t) => {
  await using crowded = await makeNamespace('claiming-quota');
  const quota = { metadata: { namespace: crowded.name, name: 'claims' }, spec: { hard: { [COUNTED]: '1' } } };
  await apply([{ apiVersion: 'v1', kind: 'ResourceQuota', ...quota }]);
  await until('the quota is in force', 60, async () => {
    const { status } = await get('resourcequota', 'claims', '-n', crowded.name);
    return status?.used?.[COUNTED] !== undefined;
  });
  const claim = (name: string) => apply([claimOf(crowded.name, name)]);
  await claim('one');
  await t.throwsAsync(claim('two'), { message: /exceeded quota: claims, requested: count\/hostportclaims/ });
  await kubectl('delete', 'hostportclaims', '--all', '-n', crowded.name, '--timeout=60s');
});

story('when the replica that leads is killed another one goes on, and bound claims keep their numbers', async (t) => {
  const { items } = await get('hostportclaims', '-n', namespace);
  const before = new Map(items.map(({ metadata, status }: Thing) => [metadata.name, status.port]));
  const leader = async () => (await get('lease', 'berth-claims', '-n', NAMESPACE)).spec.holderIdentity as string;
  const first = await leader();
  const found = (await bothReplicas()).find(({ metadata }) => first.includes(metadata.name));
  t.truthy(found, `${first} is one of the replicas`);
  await kubectl('delete', 'pod', found.metadata.name, '-n', NAMESPACE, '--grace-period=0', '--force');
  await bound('after');
  t.not(await leader(), first);
  for (const { metadata, status } of (await get('hostportclaims', '-n', namespace)).items) {
    if (before.has(metadata.name)) t.is(status.port, before.get(metadata.name), metadata.name);
  }
});

function hostPortClass(name: string, start: number, end: number): object {
  return {
    apiVersion: 'berth.dev/v1alpha1',
    kind: 'HostPortClass',
    metadata: { name },
    spec: { pools: [{ start, end }], protocols: ['TCP', 'UDP'] },
  };
}

function claimOf(namespace: string, name: string): object {
  const metadata = { namespace, name };
  return { apiVersion: 'berth.dev/v1alpha1', kind: 'HostPortClaim', metadata, spec: { hostPortClassName: CLASS } };
}

/** Makes a claim and gives its number, when it has one. */
async function bound(name: string): Promise<number> {
  await apply([claimOf(namespace, name)]);
  return until(`claim ${name} is bound`, 60, async () => {
    const { status } = await get('hostportclaim', name, '-n', namespace);
    return status?.phase === 'Bound' && status.port;
  });
}

/** Ends as servers do that care for their clients: takes no new connection, serves those that are open. */
function lingering(set: Thing): Thing {
  const { spec } = set.spec.template;
  spec.terminationGracePeriodSeconds = 60;
  spec.containers[0].env = [{ name: 'LINGER', value: '1' }];
  set.spec.strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
  return set;
}
