/** The options of `berth agent`: their table, and what has to be true of several of them together. */

import type { PoolConfig } from '../core/pool.ts';
import { quoted } from '../core/text.ts';
import { CONFIG_FILE, INSECURE_METRICS, LOG_FORMAT } from './commonoptions.ts';
import { helpText } from './help.ts';
import { readOptions } from './options.ts';
import type { OptionTable, Sources, Values } from './optiontable.ts';
import { parsePools, parsePoolTexts, readPoolsFile, refuseNodePorts } from './pools.ts';
import * as value from './values.ts';

/** Where pods come from. */
export type PodOrigin = { readonly kind: 'dir'; readonly path: string } | { readonly kind: 'kubernetes' };

/** Longest path of the socket: `sun_path` has 108 bytes with its NUL (unix(7)), of which the hidden directory in which it is bound takes 6. */
const MAX_SOCKET_PATH = 101;

const DEFAULT_POOL = 'default=20000-29999';

/** Kubernetes knows a node under its host name in lower case, unless it was told otherwise. */
export function agentTable(hostname: string) {
  return {
    pods: {
      type: 'string',
      value: 'dir:PATH|kubernetes',
      required: true,
      parse: podOrigin,
      help: 'Where pods come from: dir:PATH is a directory with one manifest a pod, kubernetes is the API server.',
    },
    kubeconfig: {
      type: 'string',
      value: 'FILE',
      parse: value.absolutePath(),
      help: "How to reach the API server; without it: as the pod's service account, or, outside a cluster, by KUBECONFIG or ~/.kube/config.",
    },
    reconnectCap: {
      type: 'duration',
      value: 'DURATION',
      default: '30s',
      parse: value.duration('1s', '10m'),
      help: 'The longest wait before an API server that is away is asked again.',
    },
    nodeName: {
      type: 'string',
      value: 'NAME',
      default: hostname.toLowerCase(),
      parse: value.nodeName,
      help: 'The name of this node in the cluster.',
    },
    nodeLabels: {
      type: 'list',
      value: 'KEY=VALUE,...',
      separator: ',',
      default: '',
      parse: value.labelList,
      fromFile: value.labelMap,
      help: 'Labels of this node, for the nodeSelector of pools; with --pods kubernetes they are added to those of the Node.',
    },
    stateDir: {
      type: 'string',
      value: 'PATH',
      default: '/var/lib/berth',
      parse: value.absolutePath(),
      help: 'Directory of the state file and the lock; it must survive a restart of the agent.',
    },
    socket: {
      type: 'string',
      value: 'PATH',
      default: '/run/berth/agent.sock',
      parse: value.absolutePath(MAX_SOCKET_PATH),
      help: 'Unix socket on which the agent answers gRPC.',
    },
    pools: {
      type: 'list',
      flag: 'pool',
      value: 'NAME=RANGES',
      separator: ';',
      parse: parsePoolTexts,
      fromFile: parsePools,
      help: `A pool of host ports, such as games=7000-7999,8500-8599; repeat the flag for more (in the variable: separated by ";"). The key in the file is pools, a list with name, ranges and policy. Without any: ${DEFAULT_POOL}.`,
    },
    poolsFile: {
      type: 'string',
      value: 'FILE',
      parse: value.absolutePath(),
      help: 'YAML file with the key pools, read again whenever it changes, instead of --pool.',
    },
    nodePortRange: {
      type: 'string',
      value: 'FIRST-LAST',
      default: '30000-32767',
      parse: value.portRange,
      help: 'The NodePorts of Services (--service-node-port-range of the API server); no pool may overlap them.',
    },
    staticHostPorts: {
      type: 'boolean',
      value: '',
      default: 'false',
      parse: value.truth,
      help: 'Serve the hostPorts in the specs of all pods too, in place of CNI portmap; ports below 1024 need NET_BIND_SERVICE.',
    },
    hostAddresses: {
      type: 'list',
      value: 'CIDR,...',
      separator: ',',
      parse: value.cidrs,
      help: 'Which addresses of the node serve host ports; without it, all but those of kube-ipvs0 and nodelocaldns.',
    },
    aggregator: {
      type: 'list',
      value: 'HOST:PORT,...',
      separator: ',',
      parse: value.reportTargets,
      help: 'The aggregators that are told what is live here. A name, such as dns:///berth-aggregator.berth.svc:9465, stands for every address that it resolves to; they are followed.',
    },
    aggregatorCA: {
      type: 'string',
      value: 'FILE',
      flag: 'aggregator-ca',
      parse: value.absolutePath(),
      help: 'Authorities that the certificate of an aggregator may be signed by, PEM, read again when it changes; without it reports go out in plaintext.',
    },
    aggregatorServerName: {
      type: 'string',
      value: 'NAME',
      parse: value.serverName,
      help: 'The name in the certificate of the aggregators; without it the first name in --aggregator.',
    },
    aggregatorToken: {
      type: 'string',
      value: 'FILE',
      parse: value.absolutePath(),
      help: 'Token that says which agent this is, read for every stream; it is sent only over TLS.',
    },
    aggregatorCert: {
      type: 'string',
      value: 'FILE',
      parse: value.absolutePath(),
      help: 'Client certificate that says which agent this is, PEM, read again when it changes.',
    },
    aggregatorKey: {
      type: 'string',
      value: 'FILE',
      parse: value.absolutePath(),
      help: 'The key of --aggregator-cert, PEM.',
    },
    metricsAddress: {
      type: 'string',
      value: 'ADDRESS:PORT',
      default: '127.0.0.1:9464',
      parse: value.socketAddress,
      help: 'Where /metrics, /healthz and /readyz are served: plain HTTP on loopback; elsewhere over TLS, /metrics to whom RBAC lets get it.',
    },
    metricsCert: {
      type: 'string',
      value: 'FILE',
      parse: value.absolutePath(),
      help: 'Certificate to show where metrics are served over TLS, PEM, read again when it changes; without it one that nobody can check.',
    },
    metricsKey: { type: 'string', value: 'FILE', parse: value.absolutePath(), help: 'The key of --metrics-cert, PEM.' },
    insecureMetrics: INSECURE_METRICS,
    procSys: {
      type: 'string',
      value: 'PATH',
      default: '/proc/sys',
      parse: value.absolutePath(),
      help: "Where the node's /proc/sys can be written; that of a container cannot.",
    },
    logLevel: {
      type: 'string',
      value: 'LEVEL',
      default: 'info',
      parse: value.oneOf(['debug', 'info', 'warn', 'error']),
      help: 'debug, info, warn or error; what was mapped and released is logged at info.',
    },
    logFormat: LOG_FORMAT,
    nftTransport: {
      type: 'string',
      value: 'HOW',
      default: 'netlink',
      parse: value.oneOf(['netlink', 'nft']),
      help: 'How the kernel is told of a mapping: by netlink messages, or by the program nft, which is slower.',
    },
    maxSockets: {
      type: 'integer',
      value: 'COUNT',
      default: '20000',
      parse: value.integer(1, 1_000_000),
      help: 'How many sockets may be held to keep host ports reserved; each takes a file descriptor.',
    },
    fullPassInterval: {
      type: 'duration',
      value: 'DURATION',
      default: '60s',
      parse: value.duration('1s', '1h'),
      help: "How often the kernel's table is read again when nobody seems to have changed it.",
    },
    config: CONFIG_FILE,
  } as const satisfies OptionTable;
}

export type AgentTable = ReturnType<typeof agentTable>;

export type AgentOptions = Omit<Values<AgentTable>, 'pools' | 'config' | 'fullPassInterval' | 'reconnectCap'> & {
  /** Of the file, when `poolsFile` is given; that file may change afterwards. */
  readonly pools: readonly PoolConfig[];
  readonly fullPassIntervalMs: number;
  readonly reconnectCapMs: number;
};

export type AgentCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: AgentOptions };

/** What the command line, the environment and the files say. Throws CONFIG_INVALID. */
export function readAgentOptions(sources: Sources, hostname: string): AgentCommand {
  const table = agentTable(hostname);
  const read = readOptions(table, sources);
  if (read.kind === 'help') return { kind: 'help', text: helpText('agent', ABOUT, table) };
  const { config: _, fullPassInterval: fullPassIntervalMs, reconnectCap: reconnectCapMs, ...values } = read.values;
  const pools = choosePools(read.values, read.origins);
  refuseNodePorts(pools, values.nodePortRange);
  refuseUnsafeReports(values);
  if ((values.metricsCert === undefined) !== (values.metricsKey === undefined)) {
    throw value.invalid('--metrics-cert and --metrics-key belong together: give both or neither');
  }
  return { kind: 'run', options: { ...values, pools, fullPassIntervalMs, reconnectCapMs } };
}

function refuseUnsafeReports(
  values: Pick<AgentOptions, 'aggregatorCA' | 'aggregatorToken' | 'aggregatorCert' | 'aggregatorKey'>,
): void {
  const { aggregatorCA, aggregatorToken, aggregatorCert, aggregatorKey } = values;
  if ((aggregatorCert === undefined) !== (aggregatorKey === undefined)) {
    throw value.invalid('--aggregator-cert and --aggregator-key belong together: give both or neither');
  }
  if (aggregatorCA === undefined && (aggregatorToken ?? aggregatorCert) !== undefined) {
    throw value.invalid('a token or certificate is shown only over TLS: give --aggregator-ca too');
  }
}

const ABOUT = 'Runs on every node: gives host ports to the pods of the node that ask for them.';

/** The pools, from wherever they are given. Throws CONFIG_INVALID. */
export function choosePools(
  { pools, poolsFile }: Pick<Values<AgentTable>, 'pools' | 'poolsFile'>,
  origins: { get(key: 'pools' | 'poolsFile'): string | undefined },
): readonly PoolConfig[] {
  if (poolsFile === undefined) return pools ?? parsePoolTexts([DEFAULT_POOL]);
  if (pools !== undefined) {
    throw value.invalid(
      `${origins.get('pools')} and ${origins.get('poolsFile')} both say which pools there are: keep one of them`,
    );
  }
  return readPoolsFile(poolsFile);
}

function podOrigin(text: string): PodOrigin {
  if (text === 'kubernetes') return { kind: 'kubernetes' };
  if (text.startsWith('dir:')) return { kind: 'dir', path: value.absolutePath()(text.slice('dir:'.length)) };
  throw value.invalid(`${quoted(text)} is neither dir:PATH nor kubernetes`);
}
