/**
 * deploy/aggregated on a real kube-apiserver: it accepts every object, applying again resets nothing, and the aggregator does its work with
 * the rights of its own account, for agents and clients with tokens that the API server made.
 */
import { once } from 'node:events';
import { request } from 'node:https';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { parseAllDocuments } from 'yaml';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { targetNameOptions } from '../../daemon/rpc/tls/channel.ts';
import { findBinaries } from '../kube/apiserver/binaries.ts';
import { RealServer } from '../kube/apiserver/realserver.ts';
import { agent, eventually } from '../rpc/clusterfixture.ts';
import { mapping, NOW } from '../rpc/fixture.ts';
import { channelOf, dial, list } from '../rpc/tls/secured.ts';
import { only, resourcesOf, type Thing } from './manifests.ts';
import { aggregator, manifests, NAMESPACED, Scene } from './scene.ts';

const ROOT = join(import.meta.dirname, '../..');
const NAMESPACE = 'berth-system';
const NAME = 'berth-aggregator-ca';
const SERVICE = targetNameOptions(`berth-aggregator.${NAMESPACE}.svc`);

const binaries = findBinaries();

const real = binaries.kind === 'found' ? test : test.skip;
const why = binaries.kind === 'found' ? '' : ` (left out: ${binaries.why})`;

real(
  `a real kube-apiserver accepts the manifests, and their accounts can do what they are for and nothing else${why}`,
  async (t) => {
    if (binaries.kind !== 'found') return t.fail();
    await using scene = new Scene(await RealServer.start(binaries));
    const { admin } = scene;
    const minor = Number.parseInt((await admin.get('/version')).minor, 10);
    const objects = manifests(minor);
    const first = await scene.apply(objects);
    t.is(first.length, objects.length);
    const again = await scene.apply(objects);
    t.deepEqual(
      again.filter((line) => !line.endsWith(' unchanged')),
      [],
    );

    // The aggregator makes its authority with the rights of its account, and keeps it however often the manifests are applied.
    const { address, metrics } = await aggregator(
      t,
      scene.kubeconfig(await scene.token('berth-aggregator', ['https://kubernetes.default.svc'])),
    );
    const authority = async () => (await admin.get(`${NAMESPACED}/secrets/${NAME}`)).data;
    const bundle = async (): Promise<string> => (await admin.get(`${NAMESPACED}/configmaps/${NAME}`)).data?.['ca.crt'];
    const made = await authority();
    t.truthy(made);
    const ca = await bundle();
    await scene.apply(objects);
    t.deepEqual(await authority(), made);
    t.is(await bundle(), ca);

    // An agent is known by the token that is bound to its pod.
    const labels = only(resourcesOf('base'), 'DaemonSet').spec.template.metadata.labels;
    const pod = await admin.create(`${NAMESPACED}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'berth-agent-x', namespace: NAMESPACE, labels },
      spec: { nodeName: 'node-a', serviceAccountName: 'berth-agent', containers: [{ name: 'agent', image: 'berth' }] },
    });
    const registry = new MappingRegistry();
    registry.set('node-a', mapping('web'), NOW);
    const channel = (token: string) => channelOf({ token, material: { authorities: ca } });
    const report = (node: string, token: string) =>
      agent(t, [address], { node, registry, connect: grpcConnector(channel(token), SERVICE) });
    const bound = await scene.token('berth-agent', ['berth'], pod);
    const good = report('node-a', bound);
    const thief = report('node-b', bound);
    const unbound = report('node-a', await scene.token('berth-agent', ['berth']));
    const foreign = report('node-a', await scene.token('berth-agent', ['https://kubernetes.default.svc'], pod));
    const says = ({ heard }: { heard: readonly string[] }, what: RegExp) =>
      eventually(() => heard.some((one) => what.test(one)));
    await says(good, /^connected /);
    await says(thief, /^lost PERMISSION_DENIED /);
    await says(unbound, /^lost PERMISSION_DENIED the token is bound to no pod/);
    await says(foreign, /^lost UNAUTHENTICATED /);

    // A client reads the namespaces for which its account has the role.
    const account = async (name: string) =>
      await admin.create(`${NAMESPACED}/serviceaccounts`, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name },
      });
    await account('reader');
    await account('nobody');
    await account('prometheus');
    await admin.create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
    const binding = (kind: string, role: string, subject: string) => ({
      ...rbac,
      kind,
      metadata: { name: role },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', name: subject, namespace: NAMESPACE }],
    });
    const rbacPath = '/apis/rbac.authorization.k8s.io/v1';
    await admin.create(
      `${rbacPath}/namespaces/shop/rolebindings`,
      binding('RoleBinding', 'berth-mappings-reader', 'reader'),
    );
    await admin.create(
      `${rbacPath}/clusterrolebindings`,
      binding('ClusterRoleBinding', 'berth-metrics-reader', 'prometheus'),
    );
    const reading = async (name: string, namespace: string) => {
      const token = await scene.token(name, ['berth']);
      const client = dial(t, address, {
        token,
        material: { authorities: ca },
        serverName: `berth-aggregator.${NAMESPACE}.svc`,
      });
      return await list(client, namespace);
    };
    // Only node-a has an agent's pod, and it has reported.
    let answer = await reading('reader', 'shop');
    while (answer.startsWith('UNAVAILABLE this aggregator has just started')) answer = await reading('reader', 'shop');
    t.is(answer, 'OK');
    t.regex(await reading('reader', 'default'), /^PERMISSION_DENIED /);
    t.regex(await reading('reader', ''), /^PERMISSION_DENIED /);
    t.regex(await reading('nobody', 'shop'), /^PERMISSION_DENIED /);

    // Prometheus gets the metrics and the mappings with a token that it has for the API server.
    const get = async (path: string, name: string): Promise<readonly [number | undefined, string]> => {
      const token = await scene.token(name, ['https://kubernetes.default.svc']);
      const headers = { authorization: `Bearer ${token}` };
      const servername = `berth-aggregator.${NAMESPACE}.svc`;
      const asked = request({ host: '127.0.0.1', port: metrics, path, headers, ca, servername, agent: false }).end();
      const [response] = await once(asked, 'response');
      return [response.statusCode, (await response.toArray()).join('')];
    };
    t.is((await get('/metrics', 'prometheus'))[0], 200);
    const [code, text] = await get('/sd/prometheus', 'prometheus');
    t.is(code, 200);
    t.is(JSON.parse(text)[0].labels.__meta_berth_pod, 'web');
    t.is((await get('/metrics', 'nobody'))[0], 403);
    t.is((await get('/metrics', 'reader'))[0], 403);

    // The thief is told on.
    let events: readonly Thing[] = [];
    while (events.length === 0) {
      events = (await admin.get(`${NAMESPACED}/events`)).items.filter(
        ({ reason }: Thing) => reason === 'ForeignNodeReport',
      );
    }
    t.is(events[0].involvedObject.name, 'berth-agent-x');
  },
);

test('what kustomize makes of deploy/aggregated is base, the aggregator and the patched agent', async (t) => {
  const kubectl = await execa('kubectl', ['kustomize', join(ROOT, 'deploy/aggregated')], { reject: false });
  if (kubectl.exitCode !== 0) {
    t.log(`skipped: no kubectl that knows components: ${kubectl.stderr ?? kubectl.message}`);
    return t.pass();
  }
  const made = parseAllDocuments(kubectl.stdout).map((document) => document.toJS() as Thing);
  const key = ({ kind, metadata }: Thing) => `${kind}/${metadata.name}`;
  const image = (object: Thing) =>
    JSON.parse(JSON.stringify(object).replaceAll('"image":"berth"', '"image":"berth:0.1.0"'));
  const wanted = Object.fromEntries(manifests(99).map((object) => [key(object), image(object)]));
  t.deepEqual(Object.fromEntries(made.map((object) => [key(object), object])), wanted);
});
