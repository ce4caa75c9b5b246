/**
 * The log: one JSON object a line, or a line for people, on stderr. Every line passes one place that makes it fit to be
 * shown: tokens and private keys are cut out, and nothing that a terminal obeys goes through.
 */
import { pino } from 'pino';
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import { humanLine } from './logtext.ts';

/** What a line says: the name of the event, and its facts. A field `error` may hold whatever was thrown. */
export type LogFields = { readonly event: string } & Readonly<Record<string, unknown>>;

export interface Log {
  debug(fields: LogFields): void;
  info(fields: LogFields): void;
  warn(fields: LogFields): void;
  error(fields: LogFields): void;
  isLevelEnabled(level: 'debug' | 'info'): boolean;
}

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'text';
  /** The node's name; it stands in every JSON line. */
  readonly node: string;
  /** Takes whole lines, each with its newline. */
  readonly destination?: LogDestination;
}

export interface LogDestination {
  write(line: string): void;
}

/**
 * What waits for stderr, in bytes; lines beyond are dropped, as the agent must not wait for its log. 20,000
 * mappings set up at once say 7 MB of `mapped` in one turn, before the first byte can go out.
 */
const MAX_BUFFERED = 8 * 1024 * 1024;

/** Longest message and stack of an error, in characters. */
const MAX_MESSAGE = 1024;
const MAX_STACK = 2048;

export function createLog({ level, format, node, destination = stderr() }: LogOptions): Log {
  const write = (line: string) => {
    const shown = showable(line.trimEnd());
    destination.write(`${format === 'json' ? shown : humanLine(shown)}\n`);
  };
  return pino(
    {
      level,
      base: { node },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
    },
    { write },
  );
}

/** Written behind the program's back, and flushed when it exits. */
function stderr(): LogDestination {
  return pino.destination({ dest: 2, sync: false, maxLength: MAX_BUFFERED });
}

/** Only what is known to be harmless: errors of HTTP clients and of processes carry headers, options and input. */
function describeError(error: unknown): Readonly<Record<string, unknown>> {
  const causes: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  for (; cause !== undefined && causes.length < 4; cause = cause instanceof Error ? cause.cause : undefined) {
    causes.push(printable(messageOf(cause), MAX_MESSAGE));
  }
  const foreign = error instanceof Error && !(error instanceof BerthError);
  return {
    ...(error instanceof Error && 'code' in error ? { code: error.code } : {}),
    message: printable(messageOf(error), MAX_MESSAGE),
    ...(causes.length > 0 ? { causes } : {}),
    // Berth's own errors say all there is to know; of another one the place helps to find the bug.
    ...(foreign ? { stack: error.stack?.slice(0, MAX_STACK) } : {}),
  };
}

/** Bearer tokens, JSON web tokens (service account tokens are such) and private keys. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/\bBearer\s+[\w.~+/=-]+/gi, 'Bearer [cut]'],
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, '[cut]'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[^"]*?(-----END [A-Z ]*PRIVATE KEY-----|(?="))/g, '[cut]'],
];

/** JSON already escapes what is below U+0020; C1 controls, bidi marks and the like are left, and they only occur in strings. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function showable(line: string): string {
  const cut = SECRETS.reduce((text, [secret, mark]) => text.replaceAll(secret, mark), line);
  return cut.replaceAll(UNSEEN, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}
