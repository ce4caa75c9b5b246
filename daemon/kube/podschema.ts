/**
 * What Berth reads of a Pod object, as a schema: the fields, their bounds, and for each what would be right. It must never
 * accept a name that could not stand in a file name or in a log line.
 */
import { isIP } from 'node:net';
import * as v from 'valibot';

const MAX_CONTAINER_PORTS = 1_000;
const MAX_CONTAINERS = 1_000;
const MAX_POD_IPS = 16;
const MAX_LOOSE = 1_000;

/** RFC 1123 label, at most 63 characters: a namespace, a container. */
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
/** RFC 1123 subdomain, at most 253 characters: a pod. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** RFC 6335 section 5.1, as Kubernetes has it (IsValidPortName): at most 15 characters, one letter, no two hyphens in a row. */
const PORT_NAME = /^(?=[^a-z]*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$/;
/** A UUID as a rule; with a port name it fits the 128 bytes of an element's comment. */
const UID = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;
const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

/** Safe as (a part of) a file name: no `/`, no `_`, no leading dot. */
export function isNamespaceName(text: string): boolean {
  return text.length <= 63 && LABEL.test(text);
}

/** Safe as (a part of) a file name: no `/`, no `_`, no leading dot. */
export function isPodName(text: string): boolean {
  return text.length <= 253 && SUBDOMAIN.test(text);
}

// The message of each schema is what would be right: it follows "must be".
const label = v.pipe(v.string('a string'), v.check(isNamespaceName, 'a DNS label (at most 63 of a-z, 0-9 and -)'));
const timestamp = v.pipe(
  v.string('a string'),
  v.check((text) => RFC_3339.test(text) && !Number.isNaN(Date.parse(text)), 'a time such as 2026-01-31T12:00:00Z'),
);
const portNumber = (least: number) =>
  v.pipe(v.number('a number'), v.check(within(least), `a number from ${least} to 65535`));

/** The length is checked first: with YAML aliases a short file can hold a very long list. */
function list<T extends v.GenericSchema>(item: T, max: number) {
  const short = v.check((items: unknown[]) => items.length <= max, `a list of at most ${max} entries`);
  return v.pipe(v.array(v.unknown(), 'a list'), short, v.array(item));
}

const containerPort = v.object(
  {
    name: v.nullish(
      v.pipe(v.string('a string'), v.regex(PORT_NAME, 'a port name (at most 15 of a-z, 0-9 and -, one letter)')),
    ),
    containerPort: portNumber(1),
    protocol: v.nullish(v.picklist(['TCP', 'UDP', 'SCTP'], 'TCP, UDP or SCTP'), 'TCP'),
    hostPort: v.nullish(portNumber(0), 0),
    hostIP: v.nullish(
      v.pipe(
        v.string('a string'),
        v.check((text) => text === '' || isIP(text) !== 0, 'an IP address'),
      ),
      '',
    ),
  },
  'a map',
);

const container = v.object(
  {
    name: label,
    ports: v.nullish(list(containerPort, MAX_CONTAINER_PORTS), []),
    restartPolicy: v.nullish(v.string('a string')),
  },
  'a map',
);

const containerStatus = v.object(
  {
    name: label,
    state: v.nullish(
      v.object(
        { terminated: v.nullish(v.looseObject({}, 'a map')), waiting: v.nullish(v.looseObject({}, 'a map')) },
        'a map',
      ),
    ),
    lastState: v.nullish(
      v.object({ terminated: v.nullish(v.object({ reason: v.nullish(v.string('a string')) }, 'a map')) }, 'a map'),
    ),
  },
  'a map',
);

/** What others write, and what hides no pod when it cannot be understood: the first entries of a list, whatever they are. */
const loose = v.optional(
  v.pipe(
    v.unknown(),
    v.transform((value): readonly unknown[] => (Array.isArray(value) ? value.slice(0, MAX_LOOSE) : [])),
  ),
  [],
);

const podIP = v.pipe(v.string('a string'), v.maxLength(64, 'an IP address'));

/** Null means absent everywhere. What is not named here is dropped. */
export const POD = v.object(
  {
    apiVersion: v.literal('v1', '"v1"'),
    kind: v.literal('Pod', '"Pod" (one Pod object a file)'),
    metadata: v.object(
      {
        name: v.pipe(v.string('a string'), v.check(isPodName, 'a DNS subdomain (at most 253 of a-z, 0-9, - and .)')),
        namespace: v.nullish(label, 'default'),
        uid: v.nullish(v.pipe(v.string('a string'), v.regex(UID, 'a uid (at most 64 of letters, digits and -)'))),
        annotations: v.nullish(v.custom<object>(isMap, 'a map'), {}),
        ownerReferences: loose,
        creationTimestamp: v.nullish(timestamp),
        deletionTimestamp: v.nullish(timestamp),
      },
      'a map',
    ),
    spec: v.pipe(
      v.looseObject({}, 'a map'),
      v.check(hasFewPorts, `a map with at most ${MAX_CONTAINER_PORTS} container ports in all`),
      v.object(
        {
          hostNetwork: v.nullish(v.boolean('true or false'), false),
          containers: v.pipe(list(container, MAX_CONTAINERS), v.minLength(1, 'a list of at least one container')),
          initContainers: v.nullish(list(container, MAX_CONTAINERS), []),
        },
        'a map',
      ),
    ),
    status: v.nullish(
      v.object(
        {
          phase: v.nullish(
            v.picklist(
              ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'],
              'Pending, Running, Succeeded, Failed or Unknown',
            ),
            'Pending',
          ),
          podIP: v.nullish(podIP, ''),
          podIPs: v.nullish(list(v.object({ ip: podIP }, 'a map'), MAX_POD_IPS), []),
          containerStatuses: v.nullish(list(containerStatus, MAX_CONTAINERS), []),
          initContainerStatuses: v.nullish(list(containerStatus, MAX_CONTAINERS), []),
          conditions: loose,
        },
        'a map',
      ),
      {},
    ),
  },
  'a map',
);

export type PodObject = v.InferOutput<typeof POD>;

function within(least: number): (value: number) => boolean {
  return (value) => Number.isInteger(value) && value >= least && value <= 65_535;
}

export function isMap(value: unknown): value is { readonly ports?: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Counts without looking at the ports: 1,000 aliases of a container with 1,000 ports fit a file of a few KiB. */
function hasFewPorts({ containers, initContainers }: { containers?: unknown; initContainers?: unknown }): boolean {
  let count = 0;
  for (const one of [containers, initContainers].filter(Array.isArray).flat(1) as unknown[]) {
    if (isMap(one) && Array.isArray(one.ports)) count += one.ports.length;
  }
  return count <= MAX_CONTAINER_PORTS;
}
