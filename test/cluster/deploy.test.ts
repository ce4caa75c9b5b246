/** deploy/ in a real cluster: what the API server, the kubelet and the container runtime make of it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import test from 'ava';
import { VERSION } from '../../daemon/version.ts';
import { apply, get, kubectl, makeNamespace, serverPod, until } from './cluster.ts';
import { agentOn, install, NAMESPACE, objectsOf, removeAgents, uninstall, withPools } from './install.ts';
import { addressOf, askByUdp, CLIENT, fetchOutside, inNode, KUBECTL } from './lab.ts';
import { logFailures, story } from './story.ts';

const NODE = 'node-1';
const POD = 'arena';
const DEFAULT = { name: 'default', ranges: '20000-29999' };

logFailures();
test.after.always(() => uninstall());

story('a pod is reached from its node', async (t) => {
  await using namespace = await makeNamespace('reach');
  await apply([serverPod(namespace.name, POD, { node: NODE })]);
  await kubectl('wait', '--for=condition=Ready', `pod/${POD}`, '-n', namespace.name, '--timeout=60s');
  const { podIP } = (await get('pod', POD, '-n', namespace.name)).status;
  t.regex(await inNode(NODE, 'curl', '-sS', `http://${podIP}:8080/`), /^pod=arena peer=10\.244\.1\.1$/);
});

test('the API server accepts every object of deploy/, and changes none of them the second time', async (t) => {
  await apply('deploy/');
  const again = await apply('deploy/', '--dry-run=server');
  const lines = again.trim().split('\n');
  t.deepEqual(
    lines.filter((line) => !line.endsWith('unchanged (server dry run)')),
    [],
  );
  t.is(lines.length, 7);
});

/** kubectl before 1.21 knows no components. */
const kustomizes = clientMinor() >= 21 ? test : test.skip;

kustomizes(
  'with the component static-host-ports the agent has the option and the capability, and is else the same',
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'berth-kustomize-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const deploy = relative(directory, join(import.meta.dirname, '../../deploy'));
    const parts = { resources: [deploy], components: [`${deploy}/components/static-host-ports`] };
    writeFileSync(join(directory, 'kustomization.yaml'), JSON.stringify(parts));
    const [plain = [], changed = []] = await Promise.all(['deploy/', directory].map(objectsOf));
    const { args, securityContext } = plain.find(({ kind }) => kind === 'DaemonSet').spec.template.spec.containers[0];
    args.push('--static-host-ports');
    securityContext.capabilities.add.push('NET_BIND_SERVICE');
    t.deepEqual(changed, plain);
  },
);

story('the agent starts with NET_ADMIN and nothing else, on a root that it cannot write', async (t) => {
  await removeAgents();
  // Those of the second pool are ephemeral ports, which have to be reserved with the kernel.
  await install(withPools([DEFAULT, { name: 'media', ranges: '40000-40099' }]));
  const { metadata, status } = await agentOn(NODE);
  t.is(status.containerStatuses[0].restartCount, 0);
  const self = (await inAgent(metadata.name, 'readFileSync("/proc/self/status", "utf8")')) as string;
  const line = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(self)?.[1];
  const NET_ADMIN = (1n << 12n).toString(16).padStart(16, '0');
  t.is(line('CapEff'), NET_ADMIN);
  t.is(line('CapBnd'), NET_ADMIN);
  t.is(line('NoNewPrivs'), '1');
  t.is(line('Seccomp'), '2');
  for (const path of ['/x', '/tmp/x', '/etc/berth/x', '/proc/sys/net/ipv4/ip_forward']) {
    const attempt = `(() => { try { writeFileSync(${JSON.stringify(path)}, "1"); return "written"; } catch (e) { return e.code; } })()`;
    t.is(await inAgent(metadata.name, attempt), 'EROFS', path);
  }
  t.is((await kubectl('exec', '-n', NAMESPACE, metadata.name, '--', 'berth', '--version')).trim(), VERSION);
});

story('with these privileges it maps a pod, holds the number, and protects the pool', async (t) => {
  await using namespace = await makeNamespace('privileges');
  await apply([serverPod(namespace.name, POD, { node: NODE, annotations: { 'berth.dev/ports': '' } })]);
  await kubectl('wait', '--for=condition=Ready', `pod/${POD}`, '-n', namespace.name, '--timeout=60s');
  const agent = (await agentOn(NODE)).metadata.name;
  const ports = await until('both ports are listed', 30, async () => {
    const { mappings } = JSON.parse(await kubectl('exec', '-n', NAMESPACE, agent, '--', 'berth', 'list', '-o', 'json'));
    // Pods of earlier files may be on their way out.
    const own: readonly Listed[] = mappings.filter((mapping: Listed) => mapping.namespace === namespace.name);
    return own.length === 2 && new Map(own.map(({ name, hostPort }) => [name, hostPort]));
  });
  const [web = 0, play = 0] = [ports.get('web'), ports.get('play')];
  t.is(await fetchOutside(addressOf(NODE), web), `pod=${POD} peer=${CLIENT}`);
  t.is(await askByUdp(addressOf(NODE), play), `pod=${POD} peer=${CLIENT}`);
  const other = await inNode(NODE, 'socat', '-u', '/dev/null', `TCP-LISTEN:${web},reuseaddr`).catch(
    ({ stderr }) => stderr,
  );
  t.regex(other, /Address already in use/);
  await until('the pool of ephemeral ports is protected', 60, async () => {
    return (await inNode(NODE, 'sysctl', '-n', 'net.ipv4.ip_local_reserved_ports')).trim() === '40000-40099';
  });
});

story('a change of the pools arrives without a restart', async (t) => {
  const { metadata } = await agentOn(NODE);
  await apply((await objectsOf('deploy/')).map(withPools([DEFAULT, { name: 'games', ranges: '7000-7099' }])));
  await until('the agent has the new pool', 120, async () => {
    const metrics = await inNode(NODE, 'curl', '-sS', 'http://127.0.0.1:9464/metrics');
    return metrics.includes('berth_pool_ports{pool="games"} 100');
  });
  const after = await agentOn(NODE);
  t.is(after.metadata.uid, metadata.uid);
  t.is(after.status.containerStatuses[0].restartCount, 0);
});

function clientMinor(): number {
  const [file, ...before] = KUBECTL;
  const said = execFileSync(file, [...before, 'version', '--client', '-o', 'json'], { encoding: 'utf8' });
  return Number.parseInt(JSON.parse(said).clientVersion.minor, 10);
}

interface Listed {
  readonly namespace: string;
  readonly name: string;
  readonly hostPort: number;
}

/** What an expression of JavaScript gives in the agent's container. */
async function inAgent(name: string, expression: string): Promise<unknown> {
  const script = `const { readFileSync, writeFileSync } = require("node:fs"); console.log(JSON.stringify(${expression}))`;
  return JSON.parse(await kubectl('exec', '-n', NAMESPACE, name, '--', 'node', '-e', script));
}
