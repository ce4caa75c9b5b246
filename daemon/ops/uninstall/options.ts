/**
 * The options of `berth uninstall`: those of the agent, so that both are told the same in the same words, file and variables, and
 * how the command is to go about it.
 */
import type { PortRange } from '../../core/pool.ts';
import { agentTable, choosePools } from '../agentoptions.ts';
import { helpText } from '../help.ts';
import { readOptions } from '../options.ts';
import type { OptionTable, Sources, Values } from '../optiontable.ts';
import { duration, truth } from '../values.ts';

const ABOUT =
  'Takes everything of Berth off this node: what pods were told, the table inet berth, the tracked flows that lead through its ' +
  'mappings, the kernel settings that were changed, and the files of the agent. It takes the options of the agent (give it ' +
  'those that the agent of this node had). The agent must have ended. Can be repeated. Ends with 0, 1 when something is left, ' +
  '2 for a wrong command line.';

/** Of this command, those of the agent among them. */
export function uninstallTable(hostname: string) {
  return {
    ...agentTable(hostname),
    timeout: {
      type: 'duration',
      value: 'DURATION',
      default: '10s',
      parse: duration('0s', '1h'),
      help: 'How long to wait for an agent that is about to end.',
    },
    dryRun: {
      type: 'boolean',
      value: 'true|false',
      default: 'false',
      parse: truth,
      help: 'Only tells what would be done.',
    },
  } as const satisfies OptionTable;
}

type UninstallValues = Values<ReturnType<typeof uninstallTable>>;

export type UninstallOptions = Omit<UninstallValues, 'pools' | 'poolsFile' | 'timeout' | 'reconnectCap'> & {
  /** Undefined when they cannot be read any more: they are needed only for a record that does not say what Berth added. */
  readonly pools: readonly PortRange[] | undefined;
  readonly timeoutMs: number;
};

export type UninstallCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: UninstallOptions };

/** Throws CONFIG_INVALID. */
export function readUninstallOptions(sources: Sources, hostname: string): UninstallCommand {
  const table = uninstallTable(hostname);
  const read = readOptions(table, sources);
  if (read.kind === 'help') return { kind: 'help', text: helpText('uninstall', ABOUT, table) };
  const { pools, poolsFile, timeout: timeoutMs, reconnectCap: _, ...values } = read.values;
  return { kind: 'run', options: { ...values, pools: rangesOf(pools, poolsFile, read.origins), timeoutMs } };
}

/** The file of the pools may be gone with the agent. */
function rangesOf(
  pools: UninstallValues['pools'],
  poolsFile: UninstallValues['poolsFile'],
  origins: Parameters<typeof choosePools>[1],
): readonly PortRange[] | undefined {
  try {
    return choosePools({ pools, poolsFile }, origins).flatMap(({ ranges }) => ranges);
  } catch {
    return undefined;
  }
}
