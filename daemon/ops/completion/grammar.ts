/** What can stand on a command line of `berth`, as shells complete it; made from the tables of options. Pure. */
import { agentTable } from '../agentoptions.ts';
import { AGGREGATOR_TABLE } from '../aggregatoroptions.ts';
import { CLIENT_TABLES } from '../clientoptions.ts';
import { type CommandName, SUMMARIES } from '../commandlist.ts';
import { doctorTable } from '../doctor/options.ts';
import { flagOf, type Option, type OptionTable, wordsOf } from '../optiontable.ts';
import { uninstallTable } from '../uninstall/options.ts';
import { WAIT_TABLE } from '../wait/options.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** `free`: any text, of which nothing can be guessed. */
export type CompletedValue =
  | { readonly kind: 'none' | 'file' | 'free' }
  | { readonly kind: 'words'; readonly words: readonly string[] };

export interface CompletedOption {
  /** Without its dashes. */
  readonly flag: string;
  readonly short?: string;
  readonly value: CompletedValue;
  /** What stands for the value. */
  readonly placeholder: string;
  /** It may be given several times. */
  readonly many: boolean;
  /** The beginning of its help. */
  readonly about: string;
}

export interface CompletedCommand {
  readonly name: CommandName;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What may stand there besides options. */
  readonly words: readonly string[];
}

const MAX_ABOUT = 90;

const TABLES: Readonly<Record<CommandName, OptionTable>> = {
  agent: agentTable(''),
  aggregator: AGGREGATOR_TABLE,
  ...CLIENT_TABLES,
  wait: WAIT_TABLE,
  doctor: doctorTable(''),
  uninstall: uninstallTable(''),
  completion: {},
};

const HELP: CompletedOption = {
  flag: 'help',
  short: 'h',
  value: { kind: 'none' },
  placeholder: '',
  many: false,
  about: 'Prints the options',
};

export const COMMANDS: readonly CompletedCommand[] = (Object.keys(SUMMARIES) as CommandName[]).map((name) => ({
  name,
  summary: SUMMARIES[name],
  options: completedOptions(TABLES[name]),
  words: name === 'completion' ? SHELLS : [],
}));

export function completedOptions(table: OptionTable): readonly CompletedOption[] {
  return [...Object.entries(table).map(([key, option]) => completed(key, option)), HELP];
}

function completed(key: string, option: Option): CompletedOption {
  return {
    flag: flagOf(key, option),
    ...(option.short === undefined ? {} : { short: option.short }),
    value: completedValue(option),
    placeholder: option.value,
    many: option.type === 'list',
    about: beginningOf(option.help),
  };
}

function completedValue(option: Option): CompletedValue {
  if (option.type === 'boolean') return { kind: 'none' };
  const words = wordsOf(option);
  if (words !== undefined) return { kind: 'words', words };
  return { kind: /^(FILE|PATH)$/.test(option.value) ? 'file' : 'free' };
}

/** The first sentence, or as many whole words of it as a line of a menu takes. */
function beginningOf(help: string): string {
  const [sentence = ''] = help.split(/[.;:] |\.$/, 1);
  if (sentence.length <= MAX_ABOUT) return sentence;
  const cut = sentence.slice(0, MAX_ABOUT);
  return `${cut.slice(0, cut.lastIndexOf(' '))}…`;
}
