/** The options of `berth wait`. */
import { quoted } from '../../core/text.ts';
import { helpText } from '../help.ts';
import { readOptions } from '../options.ts';
import type { OptionTable, Sources, Values } from '../optiontable.ts';
import { absolutePath, duration, invalid } from '../values.ts';

const ABOUT =
  'Waits, in an init container, until the host ports of this pod stand in its annotations, and prints one line ' +
  'PORT_<NAME>=NUMBER for each (FIRST-LAST for a block). The annotations come from a downward API volume with ' +
  'metadata.annotations, which kubelet brings up to date within seconds to a minute.';

export const WAIT_TABLE = {
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
    help: 'The name of a port to wait for, as in the annotation port.berth.dev/NAME; repeat the flag for more. Without it: all that the pod gets (they are written together).',
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

export type WaitOptions = Omit<Values<typeof WAIT_TABLE>, 'config'>;

export type WaitCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: WaitOptions };

/** Throws CONFIG_INVALID. */
export function readWaitOptions(sources: Sources): WaitCommand {
  // Kubernetes itself sets BERTH_PORT where there is a Service of the name berth.
  const own = Object.entries(sources.env).filter(([name, value]) => name !== 'BERTH_PORT' || !value?.includes('://'));
  const read = readOptions(WAIT_TABLE, { ...sources, env: Object.fromEntries(own) });
  if (read.kind === 'help') return { kind: 'help', text: helpText('wait', ABOUT, WAIT_TABLE) };
  const { config: _, ...options } = read.values;
  return { kind: 'run', options };
}

function portName(text: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw invalid(`${quoted(text)} is not the name of a port, such as web or 9000-udp`);
}
