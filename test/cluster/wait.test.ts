/**
 * A number in a variable: how many of 50 pods that start together have it, with and without `berth wait` in front. What is
 * printed stands in docs/annotations.md.
 */
import type { ExecutionContext } from 'ava';
import { VERSION } from '../../daemon/version.ts';
import { apply, get, kubectl, serverSet, type Thing, until } from './cluster.ts';
import { story, withAgent } from './story.ts';

const PODS = 50;
const namespace = withAgent('wait');

/** A Deployment whose pods have their number in the variable NUMBER, and write it to their log. */
function numbered(name: string, more: object = {}): object {
  const set = serverSet('Deployment', namespace, name, PODS, { annotations: { 'berth.dev/ports': 'web' } });
  const { spec } = set.spec.template;
  const [server] = spec.containers;
  const fieldRef = { fieldPath: "metadata.annotations['port.berth.dev/web']" };
  // Without a probe: 50 of them a second are a load of their own.
  Object.assign(server ?? {}, { env: [{ name: 'NUMBER', valueFrom: { fieldRef } }], readinessProbe: undefined });
  Object.assign(spec, more);
  return set;
}

/** As docs/annotations.md shows it. */
const WAITING = {
  initContainers: [
    {
      name: 'berth-wait',
      image: `berth:${VERSION}`,
      imagePullPolicy: 'Never',
      args: ['wait', '--env-file', '/run/berth/ports'],
      volumeMounts: [
        { name: 'podinfo', mountPath: '/etc/podinfo' },
        { name: 'ports', mountPath: '/run/berth' },
      ],
    },
  ],
  volumes: [
    {
      name: 'podinfo',
      downwardAPI: { items: [{ path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } }] },
    },
    { name: 'ports', emptyDir: {} },
  ],
};

/** How many have their very number in the variable, once all run and have been promised one. */
async function countNumbered(app: string): Promise<{ readonly knowing: number; readonly pods: readonly Thing[] }> {
  const pods = await until(`${PODS} pods of ${app} run and have a number`, 300, async () => {
    const { items } = await get('pods', '-n', namespace, '-l', `app=${app}`);
    return items.length === PODS && items.every(runsWithNumber) && items;
  });
  const every = ['--prefix', '--tail=-1', '--max-log-requests', String(PODS)];
  const log = await kubectl('logs', '-n', namespace, '-l', `app=${app}`, ...every);
  const told = new Map(
    [...log.matchAll(/^\[pod\/([^/]+)\/server\] NUMBER=(\d*)$/gm)].map(([, pod, number]) => [pod, number]),
  );
  if (told.size !== PODS) throw new Error(`${told.size} of ${PODS} logs name the variable`);
  const knows = ({ metadata }: Thing) => told.get(metadata.name) === metadata.annotations['port.berth.dev/web'];
  return { knowing: pods.filter(knows).length, pods };
}

function runsWithNumber({ metadata, status }: Thing): boolean {
  const runs = status.containerStatuses?.[0].state.running !== undefined;
  return runs && metadata.annotations['port.berth.dev/web'] !== undefined;
}

/** Kubernetes writes times in whole seconds. */
function seconds(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / 1000;
}

function tell(t: ExecutionContext, what: string, values: readonly number[]): void {
  const sorted = values.toSorted((a, b) => a - b);
  t.log(`${what}: median ${sorted[Math.floor(sorted.length / 2)]} s, longest ${sorted.at(-1)} s`);
}

const started = ({ status }: Thing) => seconds(status.startTime, status.containerStatuses[0].state.running.startedAt);

story('with berth wait as an init container each of 50 pods has its number in a variable', async (t) => {
  for (const [name, more] of [
    ['bare', {}],
    ['waiting', WAITING],
  ] as const) {
    await apply([numbered(name, more)]);
    const { knowing, pods } = await countNumbered(name);
    t.log(`${name}: ${knowing} of ${PODS} pods have their number in a variable`);
    tell(t, 'from the start of the pod to that of its container', pods.map(started));
    if (name !== 'waiting') continue;
    const waits = pods.map(({ status }) => status.initContainerStatuses[0].state.terminated);
    tell(
      t,
      'in the init container',
      waits.map(({ startedAt, finishedAt }) => seconds(startedAt, finishedAt)),
    );
    t.is(knowing, PODS);
  }
});
