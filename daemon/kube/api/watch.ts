/** What has changed since a revision, as the API server tells it. An end of the stream is no error; the caller goes on from its last revision. */
import * as v from 'valibot';
import { refused, unreachable } from './apierror.ts';
import type { Api } from './client.ts';
import { linesOf } from './lines.ts';

/** The API server takes no object of more than 1.5 MiB (etcd's --max-request-bytes); JSON escapes make it longer. */
const MAX_LINE = 16 * 1024 * 1024;

export type WatchEvent =
  | { readonly kind: 'changed' | 'deleted'; readonly object: unknown; readonly revision: string }
  /** Nothing changed up to this revision. */
  | { readonly kind: 'bookmark'; readonly revision: string };

/** Which objects of a collection, as a list and a watch are told it. */
export type Selector = Readonly<Partial<Record<'fieldSelector' | 'labelSelector', string>>>;

export interface WatchRequest {
  readonly path: string;
  readonly selector: Selector;
  readonly revision: string;
  /** After so many seconds the server ends the stream by itself. */
  readonly timeoutSeconds: number;
  /** A connection over which nothing came for so long, in ms, is dead. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

const LINE = v.object({
  type: v.picklist(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: v.looseObject({ metadata: v.optional(v.looseObject({ resourceVersion: v.optional(v.string()) })) }),
});

/** Throws an ApiError: expired when the revision is no longer kept, unreachable when the connection broke or made no sense. */
export async function* watchObjects(client: Api, request: WatchRequest): AsyncGenerator<WatchEvent> {
  const { path, selector, revision, timeoutSeconds, idleMs, signal } = request;
  const query = {
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: revision,
    timeoutSeconds: `${timeoutSeconds}`,
    ...selector,
  };
  const chunks = client.stream({ method: 'GET', path, query, signal }, idleMs);
  for await (const line of linesOf(chunks, MAX_LINE)) {
    if (line.trim() !== '') yield eventOf(line, `watch of ${path}`);
  }
}

function eventOf(line: string, what: string): WatchEvent {
  let parsed: v.InferOutput<typeof LINE>;
  try {
    parsed = v.parse(LINE, JSON.parse(line));
  } catch (error) {
    throw unreachable(what, 'what came is no event of a watch', error);
  }
  const { type, object } = parsed;
  if (type === 'ERROR') throw refused(what, undefined, object);
  const revision = object.metadata?.resourceVersion;
  if (revision === undefined) throw unreachable(what, 'an event has no resourceVersion');
  if (type === 'BOOKMARK') return { kind: 'bookmark', revision };
  return { kind: type === 'DELETED' ? 'deleted' : 'changed', object, revision };
}
