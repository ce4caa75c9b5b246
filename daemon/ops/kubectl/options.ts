/**
 * The options of `kubectl berth`: those of the client commands but for whom they ask, which is an aggregator behind the API server, and
 * those by which every kubectl command finds the API server. The latter are flags alone, as they are for kubectl.
 */
import { CLIENT_TABLES, type ClientName } from '../clientoptions.ts';
import { helpText } from '../help.ts';
import { readOptions } from '../options.ts';
import type { Option, OptionTable, Sources, Values } from '../optiontable.ts';
import { dnsLabel, integer, invalid, truth } from '../values.ts';
import { WAIT_TABLE } from '../wait/options.ts';
import { requestTimeout, userExtra } from './values.ts';

/** For kubectl a flag that is empty is none: scripts pass variables that may be. */
const text = { type: 'string', parse: (given: string) => given || undefined, flagOnly: true } as const;
const texts = { type: 'list', flagOnly: true } as const;

/** As kubectl has them, by name and meaning. */
const SERVER_TABLE = {
  kubeconfig: {
    ...text,
    value: 'FILE',
    help: 'The kubeconfig; without it KUBECONFIG, then ~/.kube/config.',
  },
  context: { ...text, value: 'NAME', help: 'The context of the kubeconfig.' },
  cluster: { ...text, value: 'NAME', help: 'The cluster of the kubeconfig, in place of that of the context.' },
  user: { ...text, value: 'NAME', help: 'The user of the kubeconfig, in place of that of the context.' },
  server: { ...text, short: 's', value: 'URL', help: 'Where the API server is, in place of what the cluster says.' },
  token: { ...text, value: 'TOKEN', help: 'Bearer token for the API server, in place of what the user has.' },
  as: { ...text, value: 'USER', help: 'Whom to pretend to be at the API server, in place of what the user has.' },
  asUID: { ...text, value: 'UID', help: 'The uid of that user.' },
  asGroup: {
    ...texts,
    value: 'GROUP',
    parse: (groups: readonly string[]) => groups,
    help: 'A group of that user; repeat the flag for more.',
  },
  asUserExtra: {
    ...texts,
    value: 'KEY=VALUE',
    parse: userExtra,
    help: 'What else is known of that user; repeat the flag for more, of one key too.',
  },
  certificateAuthority: {
    ...text,
    value: 'FILE',
    help: 'Authority of the certificate of the API server.',
  },
  clientCertificate: { ...text, value: 'FILE', help: 'Client certificate for the API server.' },
  clientKey: { ...text, value: 'FILE', help: 'The key of --client-certificate.' },
  tlsServerName: { ...text, value: 'NAME', help: 'The name in the certificate of the API server.' },
  insecureSkipTLSVerify: {
    type: 'boolean',
    value: '',
    flag: 'insecure-skip-tls-verify',
    parse: truth,
    flagOnly: true,
    help: 'Do not check the certificate of the API server.',
  },
  requestTimeout: {
    ...text,
    value: 'DURATION',
    parse: requestTimeout,
    help: 'How long the API server may take to list the pods of the aggregator, such as 10s or 1m30s, or whole seconds. Without it, or with 0: part of the 5 s that a connection may take.',
  },
} as const satisfies OptionTable;

const PLACE_TABLE = {
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NAME',
    flagOnly: true,
    parse: (given: string) => (given === '' ? undefined : dnsLabel(given)),
    help: 'The namespace of the pods; without it that of the context.',
  },
  aggregatorNamespace: {
    type: 'string',
    value: 'NAME',
    default: 'berth-system',
    parse: dnsLabel,
    help: 'Where the aggregator runs.',
  },
  aggregatorPort: {
    type: 'integer',
    value: 'NUMBER',
    default: '9465',
    flagOnly: true,
    parse: integer(1, 65_535),
    help: "The aggregator's plaintext port on the loopback of its pod, as its --listen has it.",
  },
} as const satisfies OptionTable;

const ALL_TABLE = {
  allNamespaces: {
    type: 'boolean',
    short: 'A',
    value: '',
    parse: truth,
    flagOnly: true,
    help: 'The pods of all namespaces.',
  },
} as const satisfies OptionTable;

export const PLUGIN_NAMES = ['list', 'get', 'watch', 'nodes', 'wait'] as const satisfies readonly (
  | ClientName
  | 'wait'
)[];
export type PluginName = (typeof PLUGIN_NAMES)[number];

/** Without what berth wait has for the pod that it runs in. */
const TABLES = { ...CLIENT_TABLES, wait: WAIT_TABLE } as const;

export type ServerFlags = Partial<Values<typeof SERVER_TABLE>>;

/** What the commands themselves need; as texts where they may be wrong. */
export interface PluginOptions {
  readonly server: ServerFlags;
  readonly aggregatorNamespace: string;
  readonly aggregatorPort: number;
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  /** The options of the command itself, but for the namespace: those of a client command, or of wait. */
  readonly own: object;
}

export type PluginCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: PluginOptions; readonly positionals: readonly string[] };

const ABOUT =
  'Asks an aggregator of the cluster through the API server, which forwards to its pod: nothing has to be exposed. The user needs the ' +
  'rights to list pods, and to get and create pods/portforward, where the aggregator runs. Ends as berth does.';
const WAIT_ABOUT =
  'Waits until the ports of a pod are live, and prints lines PORT_<NAME>=NUMBER and ADDRESS_<NAME>=HOST:PORT that a shell can source. A ' +
  'node that is not heard does not count.';
const PLACES = ['socket', 'config', 'namespace', 'insecureAggregator', 'annotations'];

/** Every option of the command. */
export function pluginTable(name: PluginName): OptionTable {
  const places = name === 'nodes' ? withoutNamespace : PLACE_TABLE;
  const all = name === 'list' || name === 'watch' ? ALL_TABLE : {};
  return { ...places, ...all, ...Object.fromEntries(ownOf(name)), ...SERVER_TABLE };
}

/** Those that have nothing to do with kubectl. */
function ownOf(name: PluginName): readonly (readonly [string, Option])[] {
  return Object.entries(TABLES[name]).filter(([key]) => !PLACES.includes(key) && !key.startsWith('aggregator'));
}

/** Throws CONFIG_INVALID. */
export function readPluginOptions(name: PluginName, sources: Sources): PluginCommand {
  const table = pluginTable(name);
  const read = readOptions(table, { ...sources, positionals: true });
  if (read.kind === 'help') {
    const [usage, about] = name === 'wait' ? ['wait pod/NAME', `${WAIT_ABOUT} ${ABOUT}`] : [name, ABOUT];
    return { kind: 'help', text: helpText(usage, about, table, 'kubectl berth') };
  }
  const values = read.values as Values<typeof PLACE_TABLE & typeof ALL_TABLE & typeof SERVER_TABLE>;
  const { namespace, aggregatorNamespace, aggregatorPort, allNamespaces = false } = values;
  if (namespace !== undefined && allNamespaces)
    throw invalid('--namespace and --all-namespaces differ: keep one of them');
  const server = Object.fromEntries(Object.keys(SERVER_TABLE).map((key) => [key, read.values[key]]));
  return {
    kind: 'run',
    options: {
      server,
      aggregatorNamespace,
      aggregatorPort,
      namespace,
      allNamespaces,
      own: Object.fromEntries(ownOf(name).map(([key]) => [key, read.values[key]])),
    },
    positionals: read.positionals,
  };
}

const { namespace: _, ...withoutNamespace } = PLACE_TABLE;
