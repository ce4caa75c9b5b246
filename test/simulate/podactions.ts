/** What users and the cluster do to pods. */
import type { ContainerPort, Pod } from '../../daemon/core/vocabulary.ts';
import { garbageRequest, type Request, randomRequest, simpleRequest, staticAsked } from './asked.ts';
import type { Director } from './director.ts';
import { reached, type Stage } from './stage.ts';
import { rulesOf } from './table.ts';

const NAMES = ['server-0', 'server-1', 'server-2', 'relay-0', 'relay-1', 'node-a', 'node-b', 'node-c'];
const NAMESPACES = ['games', 'media'];

export type Action = (director: Director) => void;

/** Pods of whom something is wanted, and that live. */
function living({ api }: Stage): readonly Pod[] {
  return api.pods.filter(
    ({ phase, ports }) => phase !== 'Succeeded' && !ports.some(({ hostPort }) => hostPort !== undefined),
  );
}

function somePod(stage: Stage): Pod | undefined {
  const pods = living(stage);
  return pods.length === 0 ? undefined : stage.random.pick(pods);
}

/** Addresses come from a small range, so that they are used again. */
export function newAddresses(stage: Stage): readonly string[] {
  const { random, api, node } = stage;
  const used = new Set(api.pods.flatMap(({ podIPs }) => podIPs));
  const free: number[] = [];
  for (let number = 2; number <= 80; number++) if (!used.has(`10.244.0.${number}`)) free.push(number);
  const number = random.pick(free);
  const bridge = random.chance(0.6);
  const device = bridge ? 'cni0' : `veth${number}`;
  const addresses = random.chance(0.4)
    ? [`10.244.0.${number}`, `fd00:10:244::${number.toString(16)}`]
    : [`10.244.0.${number}`];
  for (const podIP of addresses) node.network.setRoute({ podIP, device, bridge });
  if (bridge && random.chance(0.05)) {
    reached(stage, 'bridge port not learnt');
    const podIP = addresses[0] as string;
    node.network.unlearnt.add(podIP);
    stage.time.after(random.between(500, 4_000), () => node.network.unlearnt.delete(podIP));
  }
  return addresses;
}

export function createPod(director: Director): void {
  const { stage } = director;
  const { random, api, time } = stage;
  const namespace = random.pick(NAMESPACES);
  const name = random.pick(NAMES);
  const request = random.chance(0.3) ? simpleRequest() : randomRequest(random);
  if (api.pods.some((pod) => pod.namespace === namespace && pod.name === name)) reached(stage, 'same name, new uid');
  const podIPs = random.chance(0.7) ? newAddresses(stage) : [];
  api.create(request, { namespace, name, podIPs }, time.wall);
}

/** Thirty at once, as when a Deployment is scaled up. */
function createMany(director: Director): void {
  const { stage } = director;
  reached(stage, '30 pods at once');
  for (let index = 0; index < 30; index++) {
    const life = { namespace: 'games', name: `batch-${index}`, podIPs: newAddresses(stage) };
    if (!stage.api.pods.some(({ name }) => name === life.name))
      stage.api.create(simpleRequest(), life, stage.time.wall);
  }
  stage.time.after(stage.random.between(2_000, 60_000), () => {
    for (const pod of stage.api.pods) if (pod.name.startsWith('batch-')) remove(stage, pod);
  });
}

function giveAddress({ stage }: Director): void {
  const pod = living(stage).find(({ podIPs, hostNetwork }) => podIPs.length === 0 && !hostNetwork);
  if (pod !== undefined) stage.api.update(pod, { podIPs: newAddresses(stage), phase: 'Running' });
}

function changeAddress({ stage }: Director): void {
  const pod = somePod(stage);
  if (pod === undefined || pod.hostNetwork) return;
  const lost = stage.random.chance(0.3);
  reached(stage, lost ? 'pod IP lost' : 'pod IP changed', pod.uid.slice(-3));
  stage.api.update(pod, { podIPs: lost ? [] : newAddresses(stage) });
}

/** The old pod's deletion has not been heard of, and its address is a new pod's already. */
function reuseAddress({ stage }: Director): void {
  const { random, api, time } = stage;
  const pod = somePod(stage);
  if (pod === undefined || pod.podIPs.length === 0) return;
  const name = `heir-${random.integer(0, 3)}`;
  if (api.pods.some((one) => one.name === name)) return;
  reached(stage, 'pod IP of a newer pod', pod.uid.slice(-3));
  api.update(pod, { terminating: true });
  const request = random.chance(0.5) ? simpleRequest() : { ...simpleRequest(), annotations: {}, asked: undefined };
  api.create(request, { namespace: pod.namespace, name, podIPs: pod.podIPs }, time.wall + 1_000);
  time.after(random.between(100, 20_000), () => remove(stage, pod));
}

function editAnnotation(director: Director): void {
  const { stage } = director;
  const { random, api, time } = stage;
  const ask: typeof api.ask = (one, annotations, asked) => {
    api.ask(one, annotations, asked);
    director.life?.link.forged(one.uid);
  };
  const pod = somePod(stage);
  if (pod === undefined) return;
  const next: Request = random.weighted([
    [5, () => randomRequest(random, pod.ports)],
    [2, () => garbageRequest(random, pod.ports)],
    [1, (): Request => ({ annotations: {}, ports: pod.ports, asked: undefined })],
  ] as const)();
  const removed = Object.keys(next.annotations).length === 0;
  const fault = next.asked !== undefined ? 'annotation edited' : removed ? 'annotation removed' : 'annotation garbage';
  reached(stage, fault, `${pod.uid.slice(-3)} ${JSON.stringify(next.annotations).slice(0, 80)}`);
  ask(pod, next.annotations, next.asked);
  if (!random.chance(0.4)) return;
  // It flaps: what stood there before is put back soon.
  const before = Object.fromEntries(
    Object.entries(pod.annotations).filter(([key]) => !key.startsWith('port.') && key !== 'berth.dev/mappings'),
  );
  const asked = api.asked(pod);
  time.after(random.between(1, 3_000), () => {
    const now = api.pods.find(({ uid }) => uid === pod.uid);
    if (now !== undefined) ask(now, before, asked);
  });
}

/** Somebody writes results: those of another pod, or made up. */
function forge({ stage, life }: Director): void {
  const { random, api } = stage;
  const pod = somePod(stage);
  const other = somePod(stage);
  if (pod === undefined || other === undefined) return;
  const numbers = rulesOf(stage.node.ruleset.elements()).map(({ first }) => first);
  const number = numbers.length > 0 && random.chance(0.7) ? random.pick(numbers) : random.integer(20_000, 20_199);
  const write = (key: string, value: string) => {
    api.forge(pod, key, value);
    life?.link.forged(pod.uid);
  };
  const copied = other.annotations['berth.dev/mappings'];
  if (copied !== undefined && random.chance(0.4)) {
    reached(stage, 'annotation copied', pod.uid.slice(-3));
    write('berth.dev/mappings', copied);
  } else if (random.chance(0.6)) {
    reached(stage, 'mappings forged', `${pod.uid.slice(-3)} ${number}`);
    const entries = (api.asked(pod)?.ports ?? []).map(({ name, protocol }) => ({
      name,
      protocol,
      hostPort: number,
      podUID: pod.uid,
    }));
    write('berth.dev/mappings', JSON.stringify(entries));
  } else {
    reached(stage, 'promise forged', pod.uid.slice(-3));
    write(`port.berth.dev/${random.pick(['web', 'game', 'ghost'])}`, String(number));
  }
}

export function remove(stage: Stage, pod: Pod): void {
  const now = stage.api.pods.find(({ uid }) => uid === pod.uid);
  if (now === undefined) return;
  for (const podIP of now.podIPs) {
    if (!stage.api.pods.some(({ uid, podIPs }) => uid !== pod.uid && podIPs.includes(podIP)))
      stage.node.network.removeRoute(podIP);
  }
  stage.api.remove(now);
}

function endPod({ stage }: Director): void {
  const { random, api, time } = stage;
  const pod = somePod(stage);
  if (pod === undefined) return;
  const short = pod.uid.slice(-3);
  const current = () => api.pods.find(({ uid }) => uid === pod.uid);
  const kind = random.weighted([
    [3, 'graceful'],
    [2, 'at once'],
    [2, 'replaced'],
    [1, 'Succeeded'],
  ] as const);
  if (kind === 'at once') {
    reached(stage, 'pod deleted at once', short);
    remove(stage, pod);
    return;
  }
  if (kind === 'Succeeded') {
    reached(stage, 'Succeeded with IP', short);
    api.update(pod, { phase: 'Succeeded', ended: true });
    return;
  }
  if (kind === 'replaced') {
    reached(stage, 'same name, new uid before the old is gone', short);
    const request = { annotations: ownAnnotations(pod), ports: pod.ports, asked: api.asked(pod) };
    api.create(
      request,
      { namespace: pod.namespace, name: pod.name, podIPs: random.chance(0.6) ? newAddresses(stage) : [] },
      time.wall,
    );
    return;
  }
  reached(stage, 'pod terminating', short);
  api.update(pod, { terminating: true });
  const ended = random.between(10, 20_000);
  time.after(ended, () => {
    const now = current();
    if (now === undefined) return;
    reached(stage, 'pod terminated', short);
    api.update(now, { ended: true });
  });
  time.after(ended + random.between(1, 5_000), () => remove(stage, pod));
}

function ownAnnotations(pod: Pod): Readonly<Record<string, string>> {
  const written = (key: string) => key === 'berth.dev/mappings' || key.startsWith('port.');
  const galaxy = 'tkestack.io/portmapping' in pod.annotations ? { 'tkestack.io/portmapping': '' } : {};
  return { ...Object.fromEntries(Object.entries(pod.annotations).filter(([key]) => !written(key))), ...galaxy };
}

/** A static hostPort in a pool: on a number that was given, or on any. */
function createStatic({ stage }: Director): void {
  const { random, api, time, node } = stage;
  const given = rulesOf(node.ruleset.elements());
  const on = given.length > 0 && random.chance(0.7) ? random.pick(given) : undefined;
  reached(stage, on === undefined ? 'static hostPort' : 'static hostPort on a given number');
  const hostPort = on?.first ?? random.integer(20_000, 20_199);
  const port: ContainerPort = {
    container: 'app',
    sidecar: false,
    containerPort: 80,
    protocol: on?.protocol ?? 'TCP',
    hostPort,
  };
  const name = `static-${random.integer(0, 5)}`;
  if (api.pods.some((pod) => pod.name === name)) return;
  const asked = stage.servesStatics ? staticAsked(port.protocol, hostPort) : undefined;
  const request: Request = { annotations: {}, ports: [port], asked };
  const pod = api.create(request, { namespace: 'media', name, podIPs: newAddresses(stage) }, time.wall);
  if (stage.servesStatics && random.chance(0.4)) return;
  const end = random.between(1_000, 40_000);
  // Whoever has the number next waits until this pod has ended.
  if (random.chance(0.5)) time.after(end / 2, () => api.update(pod, { terminating: true }));
  time.after(end, () => remove(stage, pod));
}

function createOdd({ stage }: Director): void {
  const { random, api, time } = stage;
  const name = `odd-${random.integer(0, 2)}`;
  if (api.pods.some((pod) => pod.name === name)) return;
  const hostNetwork = random.chance(0.5);
  if (hostNetwork) reached(stage, 'hostNetwork');
  const podIPs = [hostNetwork ? '192.0.2.10' : random.pick(['127.0.0.1', '192.0.2.10', '169.254.1.1', '224.0.0.5'])];
  api.create(simpleRequest(), { namespace: 'media', name, podIPs, hostNetwork }, time.wall);
}

export const POD_ACTIONS: readonly (readonly [number, Action])[] = [
  [14, createPod],
  [0.5, createMany],
  [5, giveAddress],
  [4, changeAddress],
  [3, reuseAddress],
  [6, editAnnotation],
  [3, forge],
  [10, endPod],
  [3, createStatic],
  [1, createOdd],
];
