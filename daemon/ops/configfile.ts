/**
 * A YAML file as a mapping of keys, and the check that every key is known. It must never follow what stands in the file
 * to another file.
 */
import { readFileSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { messageOf } from '../core/errors.ts';
import { hint } from './nearest.ts';
import { invalid, isMapping } from './values.ts';

/** Far above any sensible configuration, far below what would block the loop. */
const MAX_BYTES = 64 * 1024;

/** The text of a configuration file. Throws CONFIG_INVALID. */
export function readConfigText(path: string): string {
  try {
    const file = statSync(path);
    if (!file.isFile()) throw new Error('it is not a regular file');
    if (file.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`${path} cannot be read: ${messageOf(error)}`, error);
  }
}

/** The top-level keys of a YAML text; an empty text has none. `where` names the file. Throws CONFIG_INVALID. */
export function parseConfig(text: string, where: string): Readonly<Record<string, unknown>> {
  const document = parseDocument(text);
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw invalid(`${where} is not valid YAML: ${problem.message}`, problem);
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw invalid(`${where} is not valid YAML: ${messageOf(error)}`, error);
  }
  if (content === null) return {};
  if (!isMapping(content)) throw invalid(`${where} must hold keys and values, such as logLevel: info`);
  return content;
}

/** Throws CONFIG_INVALID for the first key that is not known, naming the nearest one that is. */
export function refuseUnknownKeys(
  object: Readonly<Record<string, unknown>>,
  known: readonly string[],
  where: string,
): void {
  const unknown = Object.keys(object).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw invalid(`${where}: the key ${unknown} is not known${hint(unknown, known)}; known keys: ${known.join(', ')}`);
}
