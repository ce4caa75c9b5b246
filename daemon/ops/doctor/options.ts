/**
 * The options of `berth doctor`: those of the agent, so that both are told the same in the same words, file and variables; only
 * that none is required, and how the answer is to look.
 */
import { parseArgs } from 'node:util';
import type { PoolConfig } from '../../core/pool.ts';
import { agentTable, choosePools } from '../agentoptions.ts';
import { helpText } from '../help.ts';
import { readOptions } from '../options.ts';
import { flagOf, type OptionTable, type Sources, type Values } from '../optiontable.ts';
import { oneOf } from '../values.ts';
import { DOCTOR_FORMATS } from './render.ts';

const ABOUT =
  'Finds out why a pod cannot be reached: walks the way from a client to the pod hop by hop and names the first that fails. ' +
  'Without a pod it examines the node and its agent. PORT is the name of a port, or the number of a container port, with ' +
  '/PROTOCOL or without. It takes the options of the agent (give it those that the agent of this node has) and changes ' +
  'nothing. Ends with 0, 1 when a hop fails, 2 for a wrong command line, 3 when there is no such pod.';

export function doctorTable(hostname: string) {
  const { pods, ...others } = agentTable(hostname);
  const { required: _, ...optional } = pods;
  return {
    ...others,
    pods: optional,
    output: {
      type: 'string',
      value: 'FORMAT',
      default: 'table',
      parse: oneOf(DOCTOR_FORMATS),
      help: 'table, for people, or json, for programs.',
    },
  } as const satisfies OptionTable;
}

type DoctorValues = Values<ReturnType<typeof doctorTable>>;

export type DoctorOptions = Omit<DoctorValues, 'pools'> & {
  readonly pools: readonly PoolConfig[];
  /** What stands on the command line besides options. */
  readonly positionals: readonly string[];
};

export type DoctorCommand =
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'run'; readonly options: DoctorOptions };

/** Throws CONFIG_INVALID. */
export function readDoctorOptions(sources: Sources, hostname: string): DoctorCommand {
  const table = doctorTable(hostname);
  const { flags, positionals } = separated(table, sources.argv);
  const read = readOptions(table, { ...sources, argv: flags });
  if (read.kind === 'help') return { kind: 'help', text: helpText('doctor [NAMESPACE/POD [PORT]]', ABOUT, table) };
  return { kind: 'run', options: { ...read.values, pools: choosePools(read.values, read.origins), positionals } };
}

/** `readOptions` knows of no arguments but options. */
function separated(table: OptionTable, argv: readonly string[]) {
  const options = Object.entries(table).map(
    ([key, option]) => [flagOf(key, option), { type: option.type === 'boolean' ? 'boolean' : 'string' }] as const,
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const places = new Set(tokens.filter(({ kind }) => kind === 'positional').map(({ index }) => index));
  return {
    flags: argv.filter((_, index) => !places.has(index)),
    positionals: argv.filter((_, index) => places.has(index)),
  };
}
