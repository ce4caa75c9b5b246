/**
 * What a pod is told about its mappings, as text: annotations and condition. Pure; it must never invent a number, and what it
 * reads back from a pod is a hint that the caller checks (anybody who may edit the pod can write it).
 */
import { parseAddress } from './address.ts';
import { PROMISE_PREFIX } from './annotation.ts';
import { DeclaredPorts, isStatic } from './declared.ts';
import { isPortName, MAX_BLOCK } from './grammar.ts';
import { printable } from './text.ts';
import type { Family, Mapping, Pod, PodResult, Problem, Protocol } from './vocabulary.ts';

/** Kubernetes allows all annotations of an object together this much (TotalAnnotationSizeLimitB). */
const MAX_MAPPINGS_TEXT = 256 * 1024;
/** Reports, messages of Events among them, have at most this many characters. */
const MAX_MESSAGE = 1024;

/**
 * `berth.dev/mappings`: one entry a mapping, a block being one with `endPort`, in the order of the mappings. `nodeIPs`
 * are those of the pod's families, its primary family first; with a host address, that one alone.
 */
export function mappingsAnnotation(
  mappings: readonly Mapping[],
  nodeIPs: (family: Family) => readonly string[],
): string {
  const entries = mappings.map((mapping) => ({
    name: mapping.name,
    hostPort: mapping.hostPort,
    containerPort: mapping.containerPort,
    ...(mapping.size > 1 ? { endPort: mapping.hostPort + mapping.size - 1 } : {}),
    protocol: mapping.protocol,
    ...(mapping.hostIP === undefined ? {} : { hostIP: mapping.hostIP }),
    nodeIPs: mapping.hostIP === undefined ? familiesOf(mapping).flatMap((family) => nodeIPs(family)) : [mapping.hostIP],
    podName: mapping.pod.name,
    podUID: mapping.pod.uid,
    podIP: mapping.podIPs[0] ?? '',
  }));
  return JSON.stringify(entries);
}

/** `port.berth.dev/<name>` for each name: the number, or first and last of a block. */
export function promiseAnnotations(mappings: readonly Mapping[]): Record<string, string> {
  return Object.fromEntries(mappings.map((mapping) => [`${PROMISE_PREFIX}${mapping.name}`, numbersOf(mapping)]));
}

/**
 * `tkestack.io/portmapping` exactly as Galaxy writes it (pkg/api/k8s `Port`): the ports of containers in the order of the
 * spec, static ones too, without sidecars, and without a declared port that has no mapping.
 */
export function galaxyAnnotation(pod: Pod, mappings: readonly Mapping[]): string {
  const declared = new DeclaredPorts(pod.ports);
  const byName = new Map(mappings.map((mapping) => [`${mapping.name}/${mapping.protocol}`, mapping]));
  const entries = pod.ports.flatMap((port) => {
    if (port.sidecar) return [];
    const mapping = isStatic(port) ? undefined : byName.get(`${declared.nameFor(port)}/${port.protocol}`);
    if (mapping === undefined && !isStatic(port)) return [];
    const hostIP = mapping === undefined ? port.hostIP : mapping.hostIP;
    return {
      hostPort: mapping?.hostPort ?? port.hostPort,
      containerPort: port.containerPort,
      protocol: port.protocol,
      ...(hostIP ? { hostIP } : {}),
      podName: pod.name,
      podIP: mapping?.podIPs[0] ?? pod.podIPs[0] ?? '',
    };
  });
  return JSON.stringify(entries);
}

/** What `berth.dev/mappings` claims. */
export interface MappingHint {
  readonly name: string;
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly size: number;
  readonly podUID: string;
}

/** Empty when anything in the text is malformed; unknown keys are ignored. Never throws. */
export function parseMappingsAnnotation(text: string): readonly MappingHint[] {
  if (text.length > MAX_MAPPINGS_TEXT) return [];
  const entries = parseJson(text);
  if (!Array.isArray(entries)) return [];
  const hints = entries.map(hintOf);
  return hints.every((hint) => hint !== undefined) ? hints : [];
}

export function conditionMapped(mappings: readonly Mapping[]): NonNullable<PodResult['condition']> {
  const each = mappings.map((mapping) => `${mapping.name} ${numbersOf(mapping)}/${mapping.protocol}`);
  const message = each.length === 0 ? 'the pod has no port to map' : `mapped: ${each.join(', ')}`;
  return { status: 'True', reason: 'PortsMapped', message: printable(message, MAX_MESSAGE) };
}

export function conditionProblem(problem: Problem): NonNullable<PodResult['condition']> {
  return { status: 'False', reason: problem.reason, message: printable(problem.message, MAX_MESSAGE) };
}

function numbersOf({ hostPort, size }: Mapping): string {
  return size > 1 ? `${hostPort}-${hostPort + size - 1}` : `${hostPort}`;
}

function familiesOf(mapping: Mapping): Family[] {
  return mapping.podIPs.flatMap((podIP) => parseAddress(podIP)?.family ?? []);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JSON.parse makes own properties only, `__proto__` included, but what is absent would be looked for in the prototype. */
function hintOf(entry: unknown): MappingHint | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(entry));
  const name = fields.get('name');
  const protocol = fields.get('protocol');
  const hostPort = fields.get('hostPort');
  const podUID = fields.get('podUID');
  const last = fields.has('endPort') ? fields.get('endPort') : hostPort;
  if (typeof name !== 'string' || !isPortName(name)) return undefined;
  if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP') return undefined;
  if (!isPortNumber(hostPort) || !isPortNumber(last)) return undefined;
  const size = last - hostPort + 1;
  if (size < 1 || size > MAX_BLOCK || typeof podUID !== 'string' || podUID === '') return undefined;
  return { name, protocol, hostPort, size, podUID };
}

function isPortNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}
