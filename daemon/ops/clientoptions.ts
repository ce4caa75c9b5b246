/**
 * The options of `berth get`, `list`, `watch` and `nodes`. What is looked for is asked anew each time and has neither variable nor key
 * (BERTH_POOL and `pools` are the agent's); where to ask, how the answer looks and the namespace are settings.
 */

import type { Asked } from './asked.ts';
import { AGGREGATOR_ASK_TABLE, ASK_TABLE, readAsked } from './askoptions.ts';
import { helpText } from './help.ts';
import { readOptions } from './options.ts';
import { amongWords, type Option, type OptionTable, type Sources, type Values } from './optiontable.ts';
import * as value from './values.ts';

const NAMESPACE = {
  type: 'string',
  short: 'n',
  value: 'NAME',
  parse: (text: string) => (text === '' ? undefined : value.dnsLabel(text)),
  help: 'Only pods of this namespace; berth get takes "default" unless told otherwise. --namespace= takes a setting back.',
} as const satisfies Option;

const SHOWN_TABLE = {
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    default: 'table',
    parse: value.oneOf(['table', 'wide', 'json', 'yaml']),
    help: 'table, wide, json or yaml.',
  },
  config: {
    type: 'string',
    value: 'FILE',
    parse: value.absolutePath(),
    help: 'YAML file with any of these options, such as that of the agent; flags and variables win over it.',
  },
} as const satisfies OptionTable;

const GET_TABLE = { namespace: NAMESPACE, ...ASK_TABLE, ...SHOWN_TABLE } as const satisfies OptionTable;
const NODES_TABLE = { ...AGGREGATOR_ASK_TABLE, ...SHOWN_TABLE } as const satisfies OptionTable;

const asGiven = { type: 'string', parse: String, flagOnly: true } as const;

export const CLIENT_TABLE = {
  ...GET_TABLE,
  pod: { ...asGiven, value: 'NAME', help: 'Only pods of this name.' },
  node: { ...asGiven, value: 'NAME', help: 'Only mappings of this node.' },
  pool: { ...asGiven, value: 'NAME', help: 'Only mappings from this pool.' },
  protocol: {
    ...asGiven,
    parse: amongWords(['tcp', 'udp', 'sctp'], String),
    value: 'PROTOCOL',
    help: 'Only tcp, udp or sctp.',
  },
  hostPort: {
    ...asGiven,
    value: 'NUMBER',
    help: 'Only the mappings that have this host port, alone or in a block.',
  },
} as const satisfies OptionTable;

export type ClientName = 'get' | 'list' | 'watch' | 'nodes';
export type ClientOptions = Omit<Values<typeof CLIENT_TABLE>, 'config' | keyof typeof ASK_TABLE> & {
  readonly ask: Asked;
};

/** The options of each command. */
export const CLIENT_TABLES: Readonly<Record<ClientName, OptionTable>> = {
  get: GET_TABLE,
  list: CLIENT_TABLE,
  watch: CLIENT_TABLE,
  nodes: NODES_TABLE,
};

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
    about: `Lists ${LIST}, then every change, also across restarts and from one replica of an aggregator to the next. Ends with 0, 1 for a failure, 2 for a wrong command line.`,
  },
  nodes: {
    usage: 'nodes',
    about:
      'Lists the nodes that an aggregator knows: when each was last heard, how many mappings it has, and how many numbers of ' +
      'each pool are free. Ends with 0, 1 for a failure, 2 for a wrong command line.',
  },
};

/** Throws CONFIG_INVALID. */
export function readClientOptions(name: ClientName, sources: Sources): ClientCommand {
  const table = CLIENT_TABLES[name];
  const read = readOptions(table, { ...sources, positionals: true });
  if (read.kind === 'help') return { kind: 'help', text: helpText(ABOUT[name].usage, ABOUT[name].about, table) };
  const { config: _, ...values } = read.values as Values<typeof CLIENT_TABLE>;
  const ask = readAsked(values, read.origins, sources);
  return { kind: 'run', options: { ...values, ask }, positionals: read.positionals };
}
