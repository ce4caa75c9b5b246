/**
 * One manifest: the text of a file as one Pod object. YAML is read without anything that costs more than it says (merge keys,
 * tags, bombs of aliases) and a file is never read beyond its bound. It must never wait for a writer (a FIFO) nor throw
 * anything but PODS_UNREADABLE.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { LineCounter, parseDocument, visit, type YAMLMap } from 'yaml';
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import type { Pod } from '../core/vocabulary.ts';
import { decodePod } from './pod.ts';

/** Bytes of a file. The API server takes no object of more than 1.5 MiB (etcd's --max-request-bytes). */
export const MAX_BYTES = 2 * 1024 * 1024;
/**
 * Characters of YAML. The parser blocks the process for up to 10 µs a character (0.6 s for the worst text of this length, 10 s
 * for 2 MiB), JSON.parse for 10 ns. `kubectl get pod -o yaml` gives some 10 KiB.
 */
export const MAX_YAML = 64 * 1024;
/** How many nodes may stand for others, counted as what they would expand to. */
const MAX_ALIASES = 100;

/** Whether the name is one of a manifest: `*.yaml`, `*.yml` or `*.json`, and not hidden. */
export function isManifestName(name: string): boolean {
  return /^[^.].*\.(yaml|yml|json)$/s.test(name);
}

/**
 * The bytes of a regular file, symbolic links followed (a mounted ConfigMap is made of them). Undefined for a directory.
 * Rejects with what the system call said, or an Error that says why the file is none to be read.
 */
export async function readBounded(path: string): Promise<Buffer | undefined> {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = await file.stat();
  if (stat.isDirectory()) return undefined;
  if (!stat.isFile()) throw new Error('it is not a regular file');
  if (stat.size > MAX_BYTES) throw new Error(`it has ${stat.size} bytes; at most ${MAX_BYTES} are read`);
  const bytes = Buffer.alloc(stat.size);
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return bytes.subarray(0, length);
}

/** `name` is the file's: one that ends in `.json` is JSON, any other YAML. Throws PODS_UNREADABLE. */
export function parseManifest(bytes: Buffer, name: string): Pod {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (text.trim() === '') throw new Error('the file is empty');
    return decodePod(name.endsWith('.json') ? JSON.parse(text) : parseYaml(text));
  } catch (error) {
    if (error instanceof BerthError) throw error;
    // A parser's message may quote the text.
    throw new BerthError('PODS_UNREADABLE', printable(messageOf(error), 256), { cause: error });
  }
}

/** Schema and tags are fixed here, as a `%YAML 1.1` directive in the text would otherwise bring merge keys and timestamps. */
function parseYaml(text: string): unknown {
  if (text.length > MAX_YAML) {
    throw new Error(
      `it has ${text.length} characters of YAML; at most ${MAX_YAML} are read: write a larger object as JSON`,
    );
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    // Both cost the square of the text's length: keys are checked below, and only the first error gets its position.
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter,
  });
  const position = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `line ${line}, column ${col}`;
  };
  const [first] = document.errors;
  if (first?.code === 'MULTIPLE_DOCS') {
    throw new Error(`${position(first.pos[0])}: a second document begins; write one Pod object a file`);
  }
  if (first !== undefined) throw new Error(`${position(first.pos[0])}: ${first.message}`);
  visit(document, {
    Map(_, map) {
      const repeated = repeatedKey(map);
      if (repeated === undefined) return;
      throw new Error(
        `${position(repeated.offset)}: the key ${JSON.stringify(repeated.key)} stands here a second time`,
      );
    },
  });
  return document.toJS({ maxAliasCount: MAX_ALIASES });
}

function repeatedKey(map: YAMLMap): { readonly key: string; readonly offset: number } | undefined {
  const keys = new Set<string>();
  for (const { key } of map.items as YAMLMap<{ value?: unknown; range?: readonly number[] | null }>['items']) {
    const text = String(key.value);
    if (keys.has(text)) return { key: text, offset: key.range?.[0] ?? 0 };
    keys.add(text);
  }
  return undefined;
}
