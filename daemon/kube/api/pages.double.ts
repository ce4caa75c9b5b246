/** Lists in pages, as the API server gives them: all are of one revision, and come until that is forgotten. */
import { type Asked, type Reply, refusal } from './resources.double.ts';

interface Rest {
  readonly kind: string;
  readonly items: readonly object[];
  readonly revision: number;
}

export class PagesDouble {
  readonly #rests = new Map<string, Rest>();

  /** The first page. A list from the cache (resourceVersion 0) has no other. */
  first(rest: Rest, { limit, resourceVersion }: Asked['query']): Reply {
    return this.#page(rest, resourceVersion === '0' ? undefined : limit);
  }

  /** The page behind the one that had this token; undefined: the first one is asked for. */
  next({ limit, continue: token }: Asked['query'], compacted: number): Reply | undefined {
    if (token === undefined) return undefined;
    const rest = this.#rests.get(token);
    if (rest === undefined) return refusal(400, 'BadRequest', 'continue key is not valid');
    if (rest.revision < compacted) {
      return refusal(410, 'Expired', 'The provided continue parameter is too old to display a consistent list result.');
    }
    return this.#page(rest, limit);
  }

  #page({ kind, items, revision }: Rest, limit: string | undefined): Reply {
    const size = limit === undefined ? items.length : Number(limit);
    const left = items.slice(size);
    const token = `${revision}-${this.#rests.size}`;
    if (left.length > 0) this.#rests.set(token, { kind, items: left, revision });
    const more = left.length === 0 ? {} : { continue: token, remainingItemCount: left.length };
    const metadata = { resourceVersion: `${revision}`, ...more };
    return { code: 200, body: { kind, apiVersion: 'v1', metadata, items: items.slice(0, size) } };
  }
}
