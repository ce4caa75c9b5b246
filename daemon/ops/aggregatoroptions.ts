/** The options of `berth aggregator`. */
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
  insecureListen: {
    type: 'boolean',
    value: '',
    default: 'false',
    parse: value.truth,
    help: 'Allow plaintext beyond loopback: whoever reaches the address may report for every node and read everything.',
  },
  readyAfter: {
    type: 'duration',
    value: 'DURATION',
    default: '30s',
    parse: value.duration('0s', '10m'),
    help: 'How long clients are refused after the start while not every known node has reported.',
  },
  aggregatorMetricsAddress: {
    type: 'string',
    value: 'ADDRESS:PORT',
    default: '127.0.0.1:9466',
    parse: value.loopbackAddress,
    help: 'Where /metrics, /healthz and /readyz of the aggregator are served: plain HTTP, hence on loopback only.',
  },
  logLevel: {
    type: 'string',
    value: 'LEVEL',
    default: 'info',
    parse: value.oneOf(['debug', 'info', 'warn', 'error']),
    help: 'debug, info, warn or error; which agents come and go is logged at info.',
  },
  logFormat: {
    type: 'string',
    value: 'FORMAT',
    default: 'json',
    parse: value.oneOf(['json', 'text']),
    help: 'json, one object a line, or text, for people.',
  },
  config: {
    type: 'string',
    value: 'FILE',
    parse: value.absolutePath(),
    help: 'YAML file with any of these options; flags and variables win over it.',
  },
} as const satisfies OptionTable;

export type AggregatorOptions = Omit<Values<typeof AGGREGATOR_TABLE>, 'config' | 'readyAfter'> & {
  readonly readyAfterMs: number;
};

export type AggregatorCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: AggregatorOptions };

const ABOUT = 'Answers for the whole cluster where pods can be reached. Agents report to it with --aggregator.';

/** Throws CONFIG_INVALID. */
export function readAggregatorOptions(sources: Sources): AggregatorCommand {
  const read = readOptions(AGGREGATOR_TABLE, sources);
  if (read.kind === 'help') return { kind: 'help', text: helpText('aggregator', ABOUT, AGGREGATOR_TABLE) };
  const { config: _, readyAfter: readyAfterMs, ...values } = read.values;
  const { host, port, loopback } = values.listen;
  if (!loopback && !values.insecureListen) {
    throw value.invalid(
      `--listen ${host} port ${port} is not loopback and would be plaintext, without authentication: listen on 127.0.0.1:${port} behind a proxy with TLS, or allow it with --insecure-listen`,
    );
  }
  return { kind: 'run', options: { ...values, readyAfterMs } };
}
