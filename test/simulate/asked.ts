/**
 * What the pods of a run ask for: annotations and declared ports, each with what must come of them. The simulation knows
 * that because it made the request; the agent's own parser is never asked.
 */
import type { ContainerPort, Pod, Protocol } from '../../daemon/core/vocabulary.ts';
import type { SeededRandom } from './random.ts';

export interface AskedPort {
  readonly name: string;
  readonly protocol: Protocol;
  /** Ports of one unit get the same number. */
  readonly unit: string;
  readonly size: number;
  /** The port in the pod; absent: the host port's own number. */
  readonly containerPort?: number;
  /** The first number, where the pod names it. */
  readonly exact?: number;
}

export interface Asked {
  readonly pool: string;
  /** The claim whose number all the ports get. */
  readonly claim?: string;
  readonly ports: readonly AskedPort[];
  /** The text of `berth.dev/host-ip`. */
  readonly hostIP?: string;
  readonly allowFrom?: readonly string[];
  readonly berth: boolean;
  readonly galaxy: boolean;
}

export interface Request {
  readonly annotations: Readonly<Record<string, string>>;
  readonly ports: readonly ContainerPort[];
  /** Undefined: it asks for nothing, or is garbage. */
  readonly asked: Asked | undefined;
}

type Declared = readonly ContainerPort[];

const DECLARED: readonly Declared[] = [
  [port({ name: 'web', containerPort: 80 })],
  [
    port({ name: 'game', containerPort: 7777, protocol: 'UDP' }),
    port({ name: 'query', containerPort: 27015 }),
    port({ name: 'query-udp', containerPort: 27015, protocol: 'UDP' }),
  ],
  [port({ containerPort: 8080 }), port({ name: 'sig', containerPort: 5060, protocol: 'SCTP' })],
  [port({ name: 'web', containerPort: 80 }), port({ name: 'proxy', containerPort: 15001, sidecar: true })],
];

const GARBAGE = ['webb', 'web,,web', 'rtp=5-1', '99999', 'media=0/udp', '=1', 'a=b=c', '\u0000', 'x'.repeat(5_000)];
const HOST_IPS = ['192.0.2.10', '192.0.2.11', '192.0.2.0/24', '2001:db8::/64', '198.51.100.7'];
const ALLOWED = [['203.0.113.0/24'], ['203.0.113.0/24', '2001:db8:1::/48'], ['203.0.113.7/32'], ['2001:db8:1::/48']];

function port(spec: Partial<ContainerPort> & { readonly containerPort: number }): ContainerPort {
  return { container: 'app', sidecar: false, protocol: 'TCP', ...spec };
}

/** A number of the default pool at which exact blocks begin, so that some of them meet. */
function exactStart(random: SeededRandom): number {
  return 20_150 + random.integer(0, 12) * 3;
}

/** `ports`: those that the pod declares, when it has been made already. */
export function randomRequest(random: SeededRandom, ports: Declared = random.pick(DECLARED)): Request {
  const form = random.weighted([
    [4, 'all'],
    [3, 'listed'],
    [2, 'block'],
    [2, 'exact'],
    [2, 'same'],
    [2, 'galaxy'],
    [1, 'both'],
    [1, 'garbage'],
    [0.5, 'many'],
  ] as const);
  if (form === 'garbage') return garbageRequest(random, ports);
  const found = formOf(form, ports, random);
  const pool = random.weighted([
    [14, undefined],
    [3, 'small'],
    [2, 'games'],
    [1, 'public'],
  ] as const);
  const hostIP = random.chance(0.12) ? random.pick(HOST_IPS) : undefined;
  const allowFrom = random.chance(0.15) ? random.pick(ALLOWED) : undefined;
  return {
    ports,
    annotations: {
      ...(found.text === undefined ? {} : { 'berth.dev/ports': found.text }),
      ...(found.galaxy ? { 'tkestack.io/portmapping': '' } : {}),
      ...(pool === undefined || form === 'exact' ? {} : { 'berth.dev/pool': pool }),
      ...(hostIP === undefined ? {} : { 'berth.dev/host-ip': hostIP }),
      ...(allowFrom === undefined ? {} : { 'berth.dev/allow-from': allowFrom.join(', ') }),
    },
    asked: {
      pool: form === 'exact' ? 'default' : (pool ?? 'default'),
      ports: found.ports,
      ...(hostIP === undefined ? {} : { hostIP }),
      ...(allowFrom === undefined ? {} : { allowFrom }),
      berth: found.text !== undefined,
      galaxy: found.galaxy,
    },
  };
}

/** A request that no trouble but the agent's own can keep from being mapped at once. */
export function simpleRequest(): Request {
  const ports = DECLARED[0] as Declared;
  const asked = { pool: 'default', ports: declaredPorts(ports), berth: true, galaxy: false };
  return { ports, annotations: { 'berth.dev/ports': '' }, asked };
}

/** Under which static hostPorts are served. */
export const STATIC = 'static';
/** Under which claimed host ports are listed. */
export const CLAIM = 'claim';

/** The numbers are known beforehand, and no pool has a say in them. */
export function isGiven({ pool }: Asked): boolean {
  return pool === STATIC || pool === CLAIM;
}

/** What a pod with one static hostPort for its port 80 has where these are served: this number, and no word about it. */
export function staticAsked(protocol: Protocol, hostPort: number): Asked {
  const name = `80-${protocol.toLowerCase()}`;
  const port = { name, protocol, unit: name, size: 1, containerPort: 80, exact: hostPort };
  return { pool: STATIC, ports: [port], berth: false, galaxy: false };
}

export function garbageRequest(random: SeededRandom, ports: Declared): Request {
  return { ports, annotations: { 'berth.dev/ports': random.pick(GARBAGE) }, asked: undefined };
}

interface Form {
  /** Of `berth.dev/ports`; undefined: only Galaxy's annotation. */
  readonly text: string | undefined;
  readonly galaxy: boolean;
  readonly ports: readonly AskedPort[];
}

function formOf(form: string, ports: Declared, random: SeededRandom): Form {
  const all = declaredPorts(ports);
  const own = (name: string, protocols: readonly Protocol[], rest: Omit<AskedPort, 'name' | 'protocol' | 'unit'>) =>
    protocols.map((protocol) => ({ name, protocol, unit: name, ...rest }));
  switch (form) {
    case 'listed': {
      const extra = { name: '9000-udp', protocol: 'UDP', unit: '9000', size: 1, containerPort: 9000 } as const;
      const named = all.filter(({ name }) => !/^\d/.test(name)).slice(0, 1);
      return {
        text: [...named.map(({ name }) => name), '9000/udp'].join(', '),
        galaxy: false,
        ports: [...named, extra],
      };
    }
    case 'block': {
      const size = random.integer(2, 5);
      const both = random.chance(0.4);
      const block = own('media', both ? ['TCP', 'UDP'] : ['UDP'], { size });
      return { text: `media=${size}/${both ? 'tcp+udp' : 'udp'}`, galaxy: false, ports: block };
    }
    case 'exact': {
      const first = exactStart(random);
      const size = random.integer(1, 4);
      const text = `rtp=${first}-${first + size - 1}/udp`;
      return { text, galaxy: false, ports: own('rtp', ['UDP'], { size, exact: first }) };
    }
    case 'same':
      return { text: 'p2p=same/tcp+udp', galaxy: false, ports: own('p2p', ['TCP', 'UDP'], { size: 1 }) };
    case 'many':
      return { text: 'media=65/udp', galaxy: false, ports: own('media', ['UDP'], { size: 65 }) };
    case 'galaxy':
      return { text: undefined, galaxy: true, ports: declaredPorts(ports.filter(({ sidecar }) => !sidecar)) };
    case 'both':
      return { text: '', galaxy: true, ports: all };
    default:
      return { text: '', galaxy: false, ports: all };
  }
}

/** A declared port is called by its name, else by number and protocol; TCP and UDP of one number belong together. */
function declaredPorts(ports: Declared): readonly AskedPort[] {
  return ports.map(({ name, containerPort, protocol }) => ({
    name: name ?? `${containerPort}-${protocol.toLowerCase()}`,
    protocol,
    unit: protocol === 'SCTP' ? `${containerPort}/sctp` : `${containerPort}`,
    size: 1,
    containerPort,
  }));
}

const KEYS = [
  'berth.dev/ports',
  'tkestack.io/portmapping',
  'berth.dev/pool',
  'berth.dev/host-ip',
  'berth.dev/allow-from',
  'claim.berth.dev/web',
];

/** What of a pod makes its request: two pods with the same key ask for the same. Galaxy's value is not read. */
export function requestKey(pod: Pod): string {
  const values = KEYS.map((key) =>
    key in pod.annotations ? (key.startsWith('tke') ? '+' : pod.annotations[key]) : '-',
  );
  return `${pod.uid} ${values.join(' | ')}`;
}
