/**
 * The options that say whom a client asks. The flags have the names that they have at `berth agent`; in a file they are the
 * agent's alone, as it is the agent's file that `--config` reads, and so are the variables where an agent is configured by them.
 */
import { type Asked, refuseUnsafe } from './asked.ts';
import type { OptionTable, Sources, Values } from './optiontable.ts';
import * as value from './values.ts';

export const SOCKET_TABLE = {
  socket: {
    type: 'string',
    value: 'PATH',
    default: '/run/berth/agent.sock',
    parse: value.absolutePath(),
    help: 'Unix socket of the agent.',
  },
} as const satisfies OptionTable;

export const AGGREGATOR_ASK_TABLE = {
  aggregator: {
    type: 'list',
    value: 'HOST:PORT,...',
    separator: ',',
    noKey: true,
    parse: value.reportTargets,
    help: 'The replicas of the aggregator, which answers for the whole cluster: when one does not answer, the next is asked. In plaintext on loopback only, unless --aggregator-ca is given.',
  },
  aggregatorCA: {
    type: 'string',
    value: 'FILE',
    flag: 'aggregator-ca',
    noKey: true,
    parse: value.absolutePath(),
    help: 'Authorities that the certificate of the aggregator may be signed by, PEM; it is asked over TLS then.',
  },
  aggregatorServerName: {
    type: 'string',
    value: 'NAME',
    noKey: true,
    parse: value.serverName,
    help: 'The name in the certificate of the aggregator; without it the host in --aggregator.',
  },
  aggregatorToken: {
    type: 'string',
    value: 'FILE',
    noKey: true,
    parse: value.absolutePath(),
    help: 'Token that says who asks, read for every call; it is sent only over TLS.',
  },
  aggregatorCert: {
    type: 'string',
    value: 'FILE',
    noKey: true,
    parse: value.absolutePath(),
    help: 'Client certificate that says who asks, PEM.',
  },
  aggregatorKey: {
    type: 'string',
    value: 'FILE',
    noKey: true,
    parse: value.absolutePath(),
    help: 'The key of --aggregator-cert, PEM.',
  },
  insecureAggregator: {
    type: 'boolean',
    value: '',
    default: 'false',
    noKey: true,
    parse: value.truth,
    help: 'Allow plaintext beyond loopback: whoever is on the way reads along and may answer anything.',
  },
} as const satisfies OptionTable;

export const ASK_TABLE = { ...SOCKET_TABLE, ...AGGREGATOR_ASK_TABLE } as const satisfies OptionTable;

type AggregatorValues = Values<typeof AGGREGATOR_ASK_TABLE>;
type Asking = AggregatorValues & { readonly socket?: string };
type Where = { get(key: 'aggregator' | 'socket'): string | undefined };

/** The nearer of --socket and --aggregator counts: a flag before a variable before a key before the default. Throws CONFIG_INVALID. */
export function readAsked(values: Asking, origins: Where, { env }: Pick<Sources, 'env'>): Asked {
  const { socket } = values;
  // BERTH_AGGREGATOR beside BERTH_PODS says where an agent reports to, with an account that may read nothing.
  const given = values.aggregator !== undefined && !(isVariable(origins.get('aggregator')) && env.BERTH_PODS);
  if (!given) {
    if (socket === undefined) throw value.invalid('which aggregator? give its address with --aggregator=HOST:PORT');
    return { kind: 'agent', socket };
  }
  const places = [origins.get('aggregator'), origins.get('socket')].map(rankOf) as [number, number];
  if (socket !== undefined && places[1] < places[0]) return { kind: 'agent', socket };
  if (places[0] === places[1]) {
    throw value.invalid(
      `${origins.get('aggregator')} and ${origins.get('socket')} both say whom to ask: keep one of them`,
    );
  }
  return aggregatorOf(values);
}

function aggregatorOf(values: AggregatorValues): Asked {
  const asked = {
    kind: 'aggregator',
    targets: values.aggregator ?? [],
    authorities: values.aggregatorCA,
    serverName: values.aggregatorServerName,
    token: values.aggregatorToken,
    cert: values.aggregatorCert,
    key: values.aggregatorKey,
    insecure: values.insecureAggregator,
  } as const;
  refuseUnsafe(asked);
  return asked;
}

/** Flags first. */
function rankOf(origin: string | undefined): number {
  if (origin === undefined) return 3;
  if (origin.startsWith('-')) return 0;
  return isVariable(origin) ? 1 : 2;
}

function isVariable(origin: string | undefined): boolean {
  return origin?.startsWith('BERTH_') ?? false;
}
