/** The options of `berth wait`: for the pod that it runs in, or, with a pod behind the command's name, for that one. */
import { quoted } from '../../core/text.ts';
import type { Asked } from '../asked.ts';
import { ASK_TABLE, readAsked } from '../askoptions.ts';
import { helpText } from '../help.ts';
import { readOptions } from '../options.ts';
import type { OptionTable, Sources, Values } from '../optiontable.ts';
import { absolutePath, dnsLabel, duration, invalid, nodeName } from '../values.ts';

const ABOUT =
  'Waits, in an init container, until the host ports of this pod stand in its annotations, and prints one line ' +
  'PORT_<NAME>=NUMBER for each (FIRST-LAST for a block). The annotations come from a downward API volume with ' +
  'metadata.annotations, which kubelet brings up to date within seconds to a minute. With pod/NAME: waits, anywhere, until the ' +
  'ports of that pod are live, and prints ADDRESS_<NAME>=HOST:PORT too; the agent of this node is asked, or an aggregator. A ' +
  'node that is not heard does not count.';

export const WAIT_TABLE = {
  ...ASK_TABLE,
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NAME',
    parse: (text: string) => (text === '' ? undefined : dnsLabel(text)),
    help: 'Of pod/NAME; "default" unless it is given.',
  },
  annotations: {
    type: 'string',
    value: 'FILE',
    default: '/etc/podinfo/annotations',
    parse: absolutePath(),
    help: 'The file of the downward API volume.',
  },
  port: {
    type: 'list',
    value: 'NAME',
    separator: ',',
    parse: (names: readonly string[]) => names.map(portName),
    help: 'The name of a port to wait for, as in the annotation port.berth.dev/NAME; repeat the flag for more. Without it: all that the pod gets (they are written together), of pod/NAME one at least.',
  },
  envFile: {
    type: 'string',
    value: 'FILE',
    parse: absolutePath(),
    help: 'Writes the lines to this file instead, whole or not at all; a shell can source it.',
  },
  timeout: {
    type: 'duration',
    value: 'DURATION',
    default: '5m',
    parse: duration('1s', '24h'),
    help: 'How long to wait; then the command fails, and kubelet runs it again.',
  },
  config: { type: 'string', value: 'FILE', parse: absolutePath(), help: 'YAML file with any of these options.' },
} as const satisfies OptionTable;

export type WaitOptions = Omit<Values<typeof WAIT_TABLE>, 'config' | 'namespace' | keyof typeof ASK_TABLE>;

/** A pod that is waited for from elsewhere. */
export interface WaitedPod {
  readonly namespace: string;
  readonly pod: string;
  readonly ask: Asked;
}

export type WaitCommand =
  | { readonly kind: 'help'; readonly text: string }
  /** `pod`: unless it is the one that the command runs in. */
  | { readonly kind: 'run'; readonly options: WaitOptions; readonly pod?: WaitedPod };

/** Throws CONFIG_INVALID. */
export function readWaitOptions(sources: Sources): WaitCommand {
  const read = readOptions(WAIT_TABLE, { ...sources, positionals: true });
  if (read.kind === 'help') return { kind: 'help', text: helpText('wait [pod/NAME]', ABOUT, WAIT_TABLE) };
  const { annotations, port, envFile, timeout, namespace = 'default' } = read.values;
  const options = { annotations, port, envFile, timeout };
  const pod = readPodName(read.positionals);
  if (pod === undefined) {
    for (const key of ['aggregator', 'socket', 'namespace'] as const) {
      const flag = read.origins.get(key);
      if (flag?.startsWith('-')) throw invalid(`${flag} is of use with pod/NAME alone: which pod is waited for?`);
    }
    return { kind: 'run', options };
  }
  const given = read.origins.get('annotations');
  if (given?.startsWith('-')) throw invalid(`${given} is of use without pod/${pod} alone: keep one of them`);
  const ask = readAsked(read.values, read.origins, sources);
  return { kind: 'run', options, pod: { namespace, pod, ask } };
}

/** Of the pod that is waited for; undefined when none is named. Throws CONFIG_INVALID. */
export function readPodName([target, ...rest]: readonly string[]): string | undefined {
  if (rest.length > 0) throw invalid(`unexpected argument ${quoted(rest[0] ?? '')}`);
  return target === undefined ? undefined : podName(target);
}

/** As kubectl names a pod, with its kind in front or without. */
function podName(text: string): string {
  const parts = text.split('/');
  const name = parts.at(-1) ?? '';
  if (parts.length === 1 || (parts.length === 2 && /^pods?$/.test(parts[0] ?? ''))) {
    try {
      return nodeName(name);
    } catch {
      // What follows says what a pod's name is.
    }
  }
  throw invalid(`${quoted(text)} is not pod/NAME; the namespace is given with --namespace`);
}

function portName(text: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw invalid(`${quoted(text)} is not the name of a port, such as web or 9000-udp`);
}
