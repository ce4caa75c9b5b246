/** The arguments of `berth get`, `list` and `watch`: their table, and what they mean. Throws USAGE, with the remedy. */
import { BerthError } from '../core/errors.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import { quoted } from '../core/text.ts';
import type { Protocol } from '../core/vocabulary.ts';
import type { PodQuestion } from './client.ts';
import { FORMATS, type Format } from './render.ts';

export const DEFAULT_SOCKET = '/run/berth/agent.sock';

/** For `parseArgs` of node:util. */
export const GET_OPTIONS = {
  namespace: { type: 'string', short: 'n' },
  output: { type: 'string', short: 'o' },
  socket: { type: 'string' },
} as const;
export const LIST_OPTIONS = {
  ...GET_OPTIONS,
  pod: { type: 'string' },
  node: { type: 'string' },
  pool: { type: 'string' },
  protocol: { type: 'string' },
  'host-port': { type: 'string' },
} as const;
export const WATCH_OPTIONS = LIST_OPTIONS;

/** The name of the value and a sentence, for --help. */
const HELP: Readonly<Record<keyof typeof LIST_OPTIONS, readonly [value: string, text: string]>> = {
  namespace: ['NAME', 'Only pods of this namespace; berth get takes "default" unless told otherwise.'],
  output: ['FORMAT', 'table, which is the default, wide, json or yaml.'],
  socket: ['PATH', `Unix socket of the agent. Default: ${DEFAULT_SOCKET}`],
  pod: ['NAME', 'Only pods of this name.'],
  node: ['NAME', 'Only mappings of this node.'],
  pool: ['NAME', 'Only mappings from this pool.'],
  protocol: ['PROTOCOL', 'Only tcp, udp or sctp.'],
  'host-port': ['NUMBER', 'Only the mappings that have this host port, alone or in a block.'],
};

const COMMANDS = {
  get: {
    usage: 'NAMESPACE/POD [PORT[/PROTOCOL]]',
    about: 'Tells where a pod can be reached. PORT is the name of a port, or the number of a container port.',
    options: GET_OPTIONS,
  },
  list: { usage: '', about: 'Lists the live mappings that meet every condition.', options: LIST_OPTIONS },
  watch: {
    usage: '',
    about: 'Lists the live mappings that meet every condition, then every change, also across restarts of the agent.',
    options: WATCH_OPTIONS,
  },
} as const;

/** The text of --help. */
export function clientHelp(name: keyof typeof COMMANDS): string {
  const { usage, about, options } = COMMANDS[name];
  const lines = Object.entries(options).map(([key, option]) => {
    const [value, text] = HELP[key as keyof typeof HELP];
    const short = 'short' in option ? `-${option.short}, ` : '';
    return `  ${short}--${key}=${value}\n      ${text}\n`;
  });
  return [
    `Usage: berth ${name} ${usage}${usage && ' '}[options]\n\n${about}\n\nOptions:\n`,
    ...lines,
    '  -h, --help\n      Prints this text.\n',
    '\nEnds with 0, 1 for a failure, 2 for a wrong command line',
    name === 'get' ? ', 3 when the pod has no such mapping that is live.\n' : '.\n',
  ].join('');
}

export type GetOptions = { readonly [K in keyof typeof GET_OPTIONS]?: string | undefined };
export type ListOptions = { readonly [K in keyof typeof LIST_OPTIONS]?: string | undefined };

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

export function readFilter(options: ListOptions): MappingFilter {
  const { namespace, pod, node, pool, protocol } = options;
  const port = options['host-port'];
  return present({
    namespace,
    pod,
    node,
    pool,
    protocol: protocol === undefined ? undefined : readProtocol(protocol),
    hostPort: port === undefined ? undefined : readNumber('--host-port', port),
  });
}

export function readFormat(text = 'table'): Format {
  const format = FORMATS.find((known) => known === text);
  if (format === undefined) throw usage(`--output: ${quoted(text)} is none of ${FORMATS.join(', ')}`);
  return format;
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
