/** What carries the requests of the client: connections to the API server, or a double of them. It knows nothing of what is asked. */
import type { TlsMaterial } from './credentials.ts';

export interface WireRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** Ends the request, and its answer wherever that is by then. */
  readonly signal: AbortSignal;
}

export interface WireAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Throws when the connection breaks before the end. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Transport extends AsyncDisposable {
  /** Resolves when the answer has begun. Rejects when there is none; no time limit of its own. */
  request(request: WireRequest, tls: TlsMaterial): Promise<WireAnswer>;
}
