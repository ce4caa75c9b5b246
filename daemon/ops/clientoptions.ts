/**
 * The options of `berth get`, `list` and `watch`. What is looked for is asked anew each time and has neither variable nor key
 * (BERTH_POOL and `pools` are the agent's); where to ask, how the answer looks and the namespace are settings.
 */
import { helpText } from './help.ts';
import { readOptions } from './options.ts';
import type { OptionTable, Sources, Values } from './optiontable.ts';
import * as value from './values.ts';

const GET_TABLE = {
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NAME',
    parse: (text: string) => (text === '' ? undefined : value.dnsLabel(text)),
    help: 'Only pods of this namespace; berth get takes "default" unless told otherwise. --namespace= takes a setting back.',
  },
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    default: 'table',
    parse: value.oneOf(['table', 'wide', 'json', 'yaml']),
    help: 'table, wide, json or yaml.',
  },
  socket: {
    type: 'string',
    value: 'PATH',
    default: '/run/berth/agent.sock',
    parse: value.absolutePath(),
    help: 'Unix socket of the agent.',
  },
  config: {
    type: 'string',
    value: 'FILE',
    parse: value.absolutePath(),
    help: 'YAML file with any of these options, such as that of the agent; flags and variables win over it.',
  },
} as const satisfies OptionTable;

const asGiven = { type: 'string', parse: String, flagOnly: true } as const;

export const CLIENT_TABLE = {
  ...GET_TABLE,
  pod: { ...asGiven, value: 'NAME', help: 'Only pods of this name.' },
  node: { ...asGiven, value: 'NAME', help: 'Only mappings of this node.' },
  pool: { ...asGiven, value: 'NAME', help: 'Only mappings from this pool.' },
  protocol: { ...asGiven, value: 'PROTOCOL', help: 'Only tcp, udp or sctp.' },
  hostPort: {
    ...asGiven,
    value: 'NUMBER',
    help: 'Only the mappings that have this host port, alone or in a block.',
  },
} as const satisfies OptionTable;

export type ClientName = 'get' | 'list' | 'watch';
export type ClientOptions = Omit<Values<typeof CLIENT_TABLE>, 'config'>;

export type ClientCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: ClientOptions; readonly positionals: readonly string[] };

const LIST = 'the live mappings that meet every condition';
const ABOUT: Readonly<Record<ClientName, { readonly usage: string; readonly about: string }>> = {
  get: {
    usage: 'get NAMESPACE/POD [PORT[/PROTOCOL]]',
    about:
      'Tells where a pod can be reached. PORT is the name of a port, or the number of a container port. Ends with 0, 1 for a ' +
      'failure, 2 for a wrong command line, 3 when the pod has no such mapping that is live.',
  },
  list: { usage: 'list', about: `Lists ${LIST}. Ends with 0, 1 for a failure, 2 for a wrong command line.` },
  watch: {
    usage: 'watch',
    about: `Lists ${LIST}, then every change, also across restarts of the agent. Ends with 0, 1 for a failure, 2 for a wrong command line.`,
  },
};

/** Throws CONFIG_INVALID. */
export function readClientOptions(name: ClientName, sources: Sources): ClientCommand {
  const table: OptionTable & typeof GET_TABLE = name === 'get' ? GET_TABLE : CLIENT_TABLE;
  const read = readOptions(table, { ...sources, positionals: true });
  if (read.kind === 'help') return { kind: 'help', text: helpText(ABOUT[name].usage, ABOUT[name].about, table) };
  const { config: _, ...options } = read.values as Values<typeof CLIENT_TABLE>;
  return { kind: 'run', options, positionals: read.positionals };
}
