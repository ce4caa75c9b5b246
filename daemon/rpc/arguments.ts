/** What the arguments of `berth get`, `list`, `watch` and `nodes` mean. Throws USAGE, with the remedy. */
import { BerthError } from '../core/errors.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import { quoted } from '../core/text.ts';
import type { Protocol } from '../core/vocabulary.ts';
import type { Format } from './render.ts';
import type { PodQuestion } from './views.ts';

/** How an answer is looked for and shown, as texts where they may be wrong. */
export interface ClientArguments {
  readonly output: Format;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  readonly node?: string | undefined;
  readonly pool?: string | undefined;
  readonly protocol?: string | undefined;
  readonly hostPort?: string | undefined;
}

/** What `berth get` is asked for. */
export interface Target {
  readonly question: PodQuestion;
  /** PORT as it was given. */
  readonly port: string | undefined;
  /** PORT when it is a number; no port has a number for a name (RFC 6335, section 5.1). */
  readonly containerPort: number | undefined;
}

export function readTarget(positionals: readonly string[], namespace: string | undefined): Target {
  const [pod, port, ...rest] = positionals;
  if (pod === undefined) throw usage('which pod? berth get NAMESPACE/POD [PORT[/PROTOCOL]]');
  refuseArguments(rest);
  const question = readPod(pod, namespace);
  if (port === undefined) return { question, port, containerPort: undefined };
  const [name = '', protocolText, ...more] = port.split('/');
  if (name === '' || more.length > 0) throw usage(`${quoted(port)} is not PORT or PORT/PROTOCOL`);
  const protocol = protocolText === undefined ? {} : { protocol: readProtocol(protocolText) };
  return /^[0-9]+$/.test(name)
    ? { question: { ...question, ...protocol }, port, containerPort: readNumber('PORT', name) }
    : { question: { ...question, name, ...protocol }, port, containerPort: undefined };
}

function readPod(text: string, namespace: string | undefined): PodQuestion {
  const parts = text.split('/');
  const pod = parts.at(-1) ?? '';
  const named = parts.length === 1 ? undefined : parts[0];
  if (parts.length > 2 || pod === '' || named === '') throw usage(`${quoted(text)} is not NAMESPACE/POD or POD`);
  if (named !== undefined && namespace !== undefined && named !== namespace) {
    throw usage(`${quoted(text)} and --namespace ${quoted(namespace)} differ: keep one of them`);
  }
  return { namespace: named ?? namespace ?? 'default', pod };
}

export function readFilter(options: ClientArguments): MappingFilter {
  const { namespace, pod, node, pool, protocol, hostPort: port } = options;
  return present({
    namespace,
    pod,
    node,
    pool,
    protocol: protocol === undefined ? undefined : readProtocol(protocol),
    hostPort: port === undefined ? undefined : readNumber('--host-port', port),
  });
}

export function refuseArguments([first]: readonly string[]): void {
  if (first !== undefined) throw usage(`unexpected argument ${quoted(first)}`);
}

function readProtocol(text: string): Protocol {
  const upper = text.toUpperCase();
  if (upper === 'TCP' || upper === 'UDP' || upper === 'SCTP') return upper;
  throw usage(`${quoted(text)} is no protocol: tcp, udp or sctp`);
}

function readNumber(what: string, text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw usage(`${what}: ${quoted(text)} is no port number: 1 to 65535`);
}

/** Without what is undefined. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function usage(message: string): BerthError {
  return new BerthError('USAGE', `${message}; see --help`);
}
