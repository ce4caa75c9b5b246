/**
 * Connections to the API server: one pool that keeps them open, and a new pool when the certificates changed. The old one
 * ends when its last request has, so that rotation breaks off nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { Pool } from 'undici';
import type { TlsMaterial } from './credentials.ts';
import type { Transport, WireAnswer, WireRequest } from './transport.ts';

/** The watch has one of them; the rest are writes and questions, most of the time one. */
const MAX_CONNECTIONS = 24;
/** Below the idle times of load balancers in front of API servers, in ms. */
const KEEP_ALIVE_MS = 30_000;

export class Pools implements Transport {
  readonly #server: string;
  readonly #ending = new Set<Pool>();
  #current: { readonly pool: Pool; readonly tls: TlsMaterial } | undefined;

  constructor(server: string) {
    this.#server = server;
  }

  request(request: WireRequest, tls: TlsMaterial): Promise<WireAnswer> {
    return this.#for(tls).request(request);
  }

  /** The pool for this material. */
  #for(tls: TlsMaterial): Pool {
    if (this.#current !== undefined && isDeepStrictEqual(this.#current.tls, tls)) return this.#current.pool;
    this.#retire();
    // Time limits are the caller's, on its own clock.
    const pool = new Pool(this.#server, {
      connections: MAX_CONNECTIONS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { ...tls, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS, timeout: 10_000 },
    });
    this.#current = { pool, tls };
    return pool;
  }

  #retire(): void {
    const pool = this.#current?.pool;
    if (pool === undefined) return;
    this.#ending.add(pool);
    void pool.close().then(() => this.#ending.delete(pool));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [...this.#ending, ...(this.#current === undefined ? [] : [this.#current.pool])];
    this.#current = undefined;
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}
