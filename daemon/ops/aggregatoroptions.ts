/** The options of `berth aggregator`. */
import { CONFIG_FILE, INSECURE_METRICS, LOG_FORMAT } from './commonoptions.ts';
import { helpText } from './help.ts';
import { readOptions } from './options.ts';
import type { OptionTable, Sources, Values } from './optiontable.ts';
import * as value from './values.ts';

export const AGGREGATOR_TABLE = {
  listen: {
    type: 'string',
    value: 'ADDRESS:PORT',
    default: '127.0.0.1:9465',
    parse: value.socketAddress,
    help: 'Where agents and clients reach the aggregator over gRPC.',
  },
  secureListen: {
    type: 'string',
    value: 'ADDRESS:PORT',
    parse: value.socketAddress,
    help: 'Where the aggregator is reached over TLS, by callers that say who they are with a token or a certificate, such as 0.0.0.0:9467.',
  },
  tlsCert: {
    type: 'string',
    value: 'FILE',
    parse: value.absolutePath(),
    help: 'Certificate to show, PEM, read again when it changes; without it one is made and signed by the authority in the Secret of --aggregator-authority.',
  },
  tlsKey: { type: 'string', value: 'FILE', parse: value.absolutePath(), help: 'The key of --tls-cert, PEM.' },
  tlsName: {
    type: 'list',
    value: 'NAME,...',
    separator: ',',
    default: '',
    parse: value.serverNames,
    help: 'Names and addresses that a certificate is made for, besides those of the Services and of this host.',
  },
  clientCA: {
    type: 'string',
    value: 'FILE',
    flag: 'client-ca',
    parse: value.absolutePath(),
    help: 'Authorities of client certificates, PEM: organisation berth:readers reads everything, berth:agents reports for the node of its common name.',
  },
  reviewTokens: {
    type: 'boolean',
    value: '',
    default: 'true',
    parse: value.truth,
    help: 'Ask the API server whose a token is; without it client certificates alone count, and --tls-cert and --client-ca are needed.',
  },
  aggregatorNamespace: {
    type: 'string',
    value: 'NAME',
    default: 'berth-system',
    parse: value.dnsLabel,
    help: 'Where the aggregator, its Secret and the pods of the agents are.',
  },
  aggregatorAuthority: {
    type: 'string',
    value: 'NAME',
    default: 'berth-aggregator-ca',
    parse: value.nodeName,
    help: 'The Secret that holds the authority of the aggregator, and the ConfigMap that its certificate is published in.',
  },
  agentAccount: {
    type: 'string',
    value: 'NAME',
    default: 'berth-agent',
    parse: value.nodeName,
    help: 'The service account of the agents.',
  },
  kubeconfig: {
    type: 'string',
    value: 'FILE',
    parse: value.absolutePath(),
    help: "How to reach the API server; without it: as the pod's service account, or, outside a cluster, by KUBECONFIG or ~/.kube/config.",
  },
  claims: {
    type: 'boolean',
    value: '',
    default: 'false',
    parse: value.truth,
    help: 'Give host ports to HostPortClaims (deploy/claims has their definitions): one replica does at a time.',
  },
  claimsLease: {
    type: 'string',
    value: 'NAME',
    default: 'berth-claims',
    parse: value.nodeName,
    help: 'The Lease in --aggregator-namespace that the replica holds which gives host ports to claims.',
  },
  insecureListen: {
    type: 'boolean',
    value: '',
    default: 'false',
    parse: value.truth,
    help: 'Allow plaintext beyond loopback: whoever reaches the address may report for every node and read everything.',
  },
  connectionsPerAddress: {
    type: 'integer',
    value: 'COUNT',
    default: '1000',
    parse: value.integer(1, 25_000),
    help: 'How many connections may come from one address, to each of --listen and --secure-listen: more when more nodes than that are behind one NAT.',
  },
  readyAfter: {
    type: 'duration',
    value: 'DURATION',
    default: '30s',
    parse: value.duration('0s', '10m'),
    help: 'How long clients are refused after the start while not every known node has reported.',
  },
  staleAfter: {
    type: 'duration',
    value: 'DURATION',
    default: '5s',
    parse: value.duration('1s', '25s'),
    help: 'How long after the end of its stream the mappings of a node are marked stale, unless its agent is back; of a node that fell silent they are after 25 s.',
  },
  dropAfter: {
    type: 'duration',
    value: 'DURATION',
    default: '10m',
    parse: value.duration('1s', '24h'),
    help: 'How long after that end the mappings of a node are forgotten.',
  },
  aggregatorMetricsAddress: {
    type: 'string',
    value: 'ADDRESS:PORT',
    default: '127.0.0.1:9466',
    parse: value.socketAddress,
    help: 'Where /metrics, /sd/prometheus, /healthz and /readyz of the aggregator are served: plain HTTP on loopback; elsewhere over TLS, the first two to whom RBAC lets get them.',
  },
  insecureMetrics: INSECURE_METRICS,
  logLevel: {
    type: 'string',
    value: 'LEVEL',
    default: 'info',
    parse: value.oneOf(['debug', 'info', 'warn', 'error']),
    help: 'debug, info, warn or error; which agents come and go is logged at info.',
  },
  logFormat: LOG_FORMAT,
  config: CONFIG_FILE,
} as const satisfies OptionTable;

export type AggregatorOptions = Omit<
  Values<typeof AGGREGATOR_TABLE>,
  'config' | 'readyAfter' | 'staleAfter' | 'dropAfter'
> & {
  readonly readyAfterMs: number;
  readonly staleAfterMs: number;
  readonly dropAfterMs: number;
};

export type AggregatorCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: AggregatorOptions };

const ABOUT = 'Answers for the whole cluster where pods can be reached. Agents report to it with --aggregator.';

/** Throws CONFIG_INVALID. */
export function readAggregatorOptions(sources: Sources): AggregatorCommand {
  const read = readOptions(AGGREGATOR_TABLE, sources);
  if (read.kind === 'help') return { kind: 'help', text: helpText('aggregator', ABOUT, AGGREGATOR_TABLE) };
  const {
    config: _,
    readyAfter: readyAfterMs,
    staleAfter: staleAfterMs,
    dropAfter: dropAfterMs,
    ...values
  } = read.values;
  const { host, port, loopback } = values.listen;
  if (!loopback && !values.insecureListen) {
    throw value.invalid(
      `--listen ${host} port ${port} is not loopback and would be plaintext, without authentication: give --secure-listen instead, or allow it with --insecure-listen`,
    );
  }
  const { secureListen, tlsCert, tlsKey, clientCA, reviewTokens } = values;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw value.invalid('--tls-cert and --tls-key belong together: give both or neither');
  }
  const guarded = !values.aggregatorMetricsAddress.loopback && !values.insecureMetrics;
  const secure = secureListen !== undefined || guarded;
  if (secure && !reviewTokens && (tlsCert === undefined || clientCA === undefined)) {
    throw value.invalid('--review-tokens=false leaves only certificates: give --tls-cert, --tls-key and --client-ca');
  }
  return { kind: 'run', options: { ...values, readyAfterMs, staleAfterMs, dropAfterMs } };
}
