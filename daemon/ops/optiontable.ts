/**
 * What an option of a program is, and how its key, its flag and its variable are called. Types and names only.
 *
 *   key in the file   nodeName
 *   flag              --node-name
 *   variable          BERTH_NODE_NAME
 */

interface Described {
  /** One sentence for --help. */
  readonly help: string;
  /** What stands for the value in --help. */
  readonly value: string;
  /** As a user would write it; absent: undefined, unless the option is `required`. */
  readonly default?: string;
  readonly required?: true;
  /** The flag without its dashes, where it is not the key in kebab-case. */
  readonly flag?: string;
  /** A letter: `-n` for `--namespace`. */
  readonly short?: string;
  /** What one call is asked, and no setting: it has neither variable nor key. */
  readonly flagOnly?: true;
  /** It is no key of the file: there its name means another program's option. */
  readonly noKey?: true;
}

/** One option whose value is a T. `fromFile` reads what stands in the file where that is not plain text or a plain list. */
export type Option<T = unknown> = Described &
  (
    | { readonly type: 'string' | 'integer' | 'duration'; readonly parse: (text: string) => T }
    | {
        readonly type: 'list';
        /** Absent: each value is one item, whatever it holds. */
        readonly separator?: ',' | ';';
        readonly parse: (items: readonly string[]) => T;
        readonly fromFile?: (value: unknown) => T;
      }
    | { readonly type: 'boolean'; readonly parse: (text: string) => T }
  );

export type OptionTable = Readonly<Record<string, Option>>;

type Certain<O, T> = O extends { readonly default: string } | { readonly required: true } ? T : T | undefined;
export type Values<Table> = {
  readonly [Key in keyof Table]: Table[Key] extends { readonly parse: (...given: never[]) => infer T }
    ? Certain<Table[Key], T>
    : never;
};

export interface Sources {
  /** The arguments behind the command's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Options of the other programs, which read the same environment and file: known, and not for this one. */
  readonly others?: readonly OptionTable[];
  /** Whether something may stand behind the command's name besides options; no unless given. */
  readonly positionals?: boolean;
}

/** Where an option was set, as messages name it: `--pods`, `BERTH_PODS`, `pods in /etc/berth/agent.yaml`. */
export type Origins<Table> = ReadonlyMap<keyof Table, string>;

export type ReadOptions<Table> =
  | { readonly kind: 'help' }
  | {
      readonly kind: 'values';
      readonly values: Values<Table>;
      readonly origins: Origins<Table>;
      readonly positionals: readonly string[];
    };

export function flagOf(key: string, option: Option): string {
  return option.flag ?? key.replaceAll(/[A-Z]+/g, (capitals) => `-${capitals.toLowerCase()}`);
}

export function variableOf(key: string, option: Option): string {
  return `BERTH_${flagOf(key, option).replaceAll('-', '_').toUpperCase()}`;
}

/** A parser that says which words it takes: completion offers them. */
export function amongWords<T>(words: readonly string[], parse: (text: string) => T): (text: string) => T {
  return Object.assign((text: string) => parse(text), { words });
}

/** The words that the value is one of; undefined where it may be something else. */
export function wordsOf({ parse }: Option): readonly string[] | undefined {
  return 'words' in parse ? (parse.words as readonly string[]) : undefined;
}

/** The keys and options that the environment may set, and the file but for those with `noKey`. */
export function settingsOf(table: OptionTable): readonly (readonly [key: string, option: Option])[] {
  return Object.entries(table).filter(([, option]) => !option.flagOnly);
}
