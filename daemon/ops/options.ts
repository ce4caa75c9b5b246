/**
 * Options of a program, from one table: flag > environment variable > key in the file of --config > default. What is not
 * in the table is an error that names the nearest name that is. Nothing here knows which options there are.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../core/errors.ts';
import { quoted } from '../core/text.ts';
import { parseConfig, readConfigText, refuseUnknownKeys } from './configfile.ts';
import { hint } from './nearest.ts';
import {
  flagOf,
  type Option,
  type OptionTable,
  type ReadOptions,
  type Sources,
  settingsOf,
  type Values,
  variableOf,
} from './optiontable.ts';
import { invalid } from './values.ts';

interface Given {
  readonly where: string;
  /** A text or several of them from flags and environment; anything from the file. */
  readonly value: unknown;
  readonly file: boolean;
}

/** Reads every option of the table. Throws CONFIG_INVALID for the first thing that is wrong. */
export function readOptions<const Table extends OptionTable>(table: Table, sources: Sources): ReadOptions<Table> {
  const line = readLine(table, sources);
  if (line === 'help') return { kind: 'help' };
  const { flags, positionals } = line;
  const variables = readVariables(table, sources);
  const path = flags.get('config') ?? variables.get('config');
  const file =
    path === undefined ? new Map<string, Given>() : readFile(table, sources, convert(table, 'config', path) as string);
  const values: Record<string, unknown> = {};
  const origins = new Map<keyof Table, string>();
  for (const [key, option] of Object.entries(table)) {
    const given = flags.get(key) ?? variables.get(key) ?? file.get(key);
    if (given !== undefined) origins.set(key, given.where);
    else if (option.required) throw invalid(`--${flagOf(key, option)} is required: ${option.help}`);
    values[key] = convert(table, key, given ?? fallback(key, option));
  }
  return { kind: 'values', values: values as Values<Table>, origins, positionals };
}

function fallback(key: string, option: Option): Given | undefined {
  return option.default === undefined
    ? undefined
    : { where: `the default of --${flagOf(key, option)}`, value: [option.default], file: false };
}

interface Line {
  readonly flags: ReadonlyMap<string, Given>;
  readonly positionals: readonly string[];
}

function readLine(table: OptionTable, { argv, positionals: allowed = false }: Sources): Line | 'help' {
  const keys = new Map(Object.entries(table).map(([key, option]) => [flagOf(key, option), key]));
  const options = Object.entries(table).map(([key, { type, short, ...option }]) => {
    const kind = type === 'boolean' ? 'boolean' : 'string';
    return [flagOf(key, { type, ...option } as Option), { type: kind, ...(short && { short }) }] as const;
  });
  const { tokens, positionals } = parseArgs({
    args: [...argv],
    options: { ...Object.fromEntries(options), help: { type: 'boolean', short: 'h' } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  if (tokens.some((token) => token.kind === 'option' && token.name === 'help')) return 'help';
  const flags = new Map<string, Given>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator' || (token.kind === 'positional' && allowed)) continue;
    if (token.kind === 'positional') throw invalid(`unexpected argument ${quoted(token.value)}: options begin with --`);
    const key = keys.get(token.name);
    if (key === undefined) {
      const known = [...keys.keys()].map((flag) => `--${flag}`);
      // Of a letter every flag is near.
      const near = token.name.length > 1 ? hint(token.name, known) : '';
      throw invalid(`unknown flag ${token.rawName}${near}; see --help`);
    }
    const value = token.value ?? (table[key]?.type === 'boolean' ? 'true' : undefined);
    if (value === undefined || (value.startsWith('-') && token.inlineValue === false)) {
      throw invalid(`${token.rawName} needs a value: ${token.rawName}=${table[key]?.value}`);
    }
    const before = flags.get(key)?.value;
    // A list grows with every flag; of anything else the last one counts, so that a wrapper's flags can be overridden.
    const all = table[key]?.type === 'list' && Array.isArray(before) ? [...before, value] : [value];
    flags.set(key, { where: token.rawName, value: all, file: false });
  }
  return { flags, positionals };
}

/** What Kubernetes adds to every container for a Service that is called berth-… ("service links"). */
const SERVICE_LINK =
  /^BERTH(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;

function readVariables(table: OptionTable, { env, others = [] }: Sources): Map<string, Given> {
  const keys = new Map(settingsOf(table).map(([key, option]) => [variableOf(key, option), key]));
  const foreign = new Set(others.flatMap(settingsOf).map(([key, option]) => variableOf(key, option)));
  const given = new Map<string, Given>();
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('BERTH_')) continue;
    // For a Service that is called berth Kubernetes sets BERTH_PORT, which is also a variable of berth wait.
    const key = name === 'BERTH_PORT' && value?.includes('://') ? undefined : keys.get(name);
    if (key === undefined) {
      if (foreign.has(name) || SERVICE_LINK.test(name)) continue;
      throw invalid(`unknown environment variable ${name}${hint(name, [...keys.keys()])}; see --help`);
    }
    // A template that leaves a variable empty means that it is not set.
    if (value) given.set(key, { where: name, value: [value], file: false });
  }
  return given;
}

function readFile(table: OptionTable, { others = [] }: Sources, path: string): Map<string, Given> {
  const own = keysOf(table);
  const foreign = others.flatMap(keysOf).filter((key) => !own.includes(key));
  const entries = Object.entries(parseConfig(readConfigText(path), path)).filter(([key]) => !foreign.includes(key));
  refuseUnknownKeys(Object.fromEntries(entries), own, path);
  const given = entries.filter(([, value]) => value !== null);
  return new Map(given.map(([key, value]) => [key, { where: `${key} in ${path}`, value, file: true }]));
}

/** A file must not lead to another one. */
function keysOf(table: OptionTable): readonly string[] {
  return settingsOf(table)
    .filter(([key, option]) => key !== 'config' && !option.noKey)
    .map(([key]) => key);
}

function convert(table: OptionTable, key: string, given: Given | undefined): unknown {
  const option = table[key];
  if (option === undefined || given === undefined) return undefined;
  try {
    return given.file ? fromFile(option, given.value) : fromTexts(option, given.value as readonly string[]);
  } catch (error) {
    throw invalid(`${given.where}: ${messageOf(error)}`, error);
  }
}

function fromTexts(option: Option, texts: readonly string[]): unknown {
  if (option.type === 'list') return option.parse(texts.flatMap((text) => split(text, option.separator)));
  return option.parse(texts.at(-1) ?? '');
}

/** YAML turns 0123, 1e3 and true into something else: where a text is meant it must be one. */
const FILE_TYPES = {
  string: ['string'],
  integer: ['number', 'string'],
  duration: ['number', 'string'],
  boolean: ['boolean'],
} satisfies Record<string, string[]>;

function fromFile(option: Option, value: unknown): unknown {
  if (option.type === 'list') {
    if (option.fromFile !== undefined) return option.fromFile(value);
    if (typeof value === 'string') return option.parse(split(value, option.separator));
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return option.parse(value);
    throw invalid('it must be a list of texts');
  }
  if (!FILE_TYPES[option.type].includes(typeof value)) {
    throw invalid(option.type === 'boolean' ? 'it must be true or false' : 'it must be a text: put it in quotes');
  }
  return option.parse(String(value));
}

function split(text: string, separator: string | undefined): string[] {
  if (separator === undefined) return text === '' ? [] : [text];
  return text
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
