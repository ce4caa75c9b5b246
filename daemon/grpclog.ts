/**
 * What grpc-js itself has to say, put where everything else is said. By default it writes to stderr as it likes: headers that a peer
 * made up whenever they are no good, and every header and token once GRPC_TRACE is set.
 */
import { setLogger } from '@grpc/grpc-js';
import { printable } from './core/text.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';

type Severity = 'debug' | 'info' | 'error';

const MAX_TEXT = 2048;

/** In the log of a program: traces at the level debug, and errors a few times each, as any peer can cause them. */
export function logGrpc(log: Log): void {
  const repetition = new Repetition(systemClock);
  hear((severity, text) => {
    if (severity !== 'error') log.debug({ event: 'grpc', message: text });
    else if (repetition.admit('grpc', '', text)) log.warn({ event: 'grpc', message: text });
  });
}

/** On the terminal of a command. */
export function printGrpc(stderr: { write(text: string): unknown }): void {
  hear((_, text) => stderr.write(`grpc: ${text}\n`));
}

function hear(told: (severity: Severity, text: string) => void): void {
  const of =
    (severity: Severity) =>
    (...parts: readonly unknown[]) =>
      told(severity, printable(withoutSecrets(parts.map(String).join(' ')), MAX_TEXT));
  setLogger({ debug: of('debug'), info: of('info'), error: of('error') });
}

/** As grpc-js writes headers: as JSON, an array of strings each. */
const AUTHORIZATION = /("authorization"\s*:\s*)\[(?:"(?:[^"\\]|\\.)*"?,?)*/gi;

/** No header that is broken is repeated, and never the one with the token. */
function withoutSecrets(text: string): string {
  return text
    .replace(
      /^Failed to add metadata entry ([\w.-]{1,64}): .*$/s,
      'a peer sent the header $1 with characters that none may have',
    )
    .replace(AUTHORIZATION, '$1["[cut]"')
    .replace(/\bbearer +[^\s"',]+/gi, 'Bearer [cut]');
}
