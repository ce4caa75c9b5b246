/**
 * What a server shows and demands, from wherever it comes: its certificate from files or from the shared authority, and the
 * authorities of clients from a file. Whoever follows gets it whole, now and with every change.
 */
import type { Clock, Random } from '../reconcile/ports.ts';
import type { AuthorityStore } from './authority.ts';
import { followFiles } from './files.ts';
import { type Identity, readCertificates, readIdentity } from './identity.ts';
import { IdentityKeeper } from './serveridentity.ts';

export interface ServerMaterialsOptions {
  readonly identity:
    | { readonly kind: 'files'; readonly cert: string; readonly key: string }
    | { readonly kind: 'authority'; readonly store: AuthorityStore; readonly names: readonly string[] };
  /** A path. */
  readonly clientAuthorities: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** What could not be used. What was good stays in use. */
  readonly onError: (error: Error) => void;
}

export interface Material extends Identity {
  readonly clientAuthorities?: string;
}

export class ServerMaterials implements Disposable {
  readonly #options: ServerMaterialsOptions;
  readonly #followers = new Set<(material: Material) => void>();
  readonly #stops: (() => void)[] = [];
  readonly #first = Promise.withResolvers<Material>();
  #identity: Identity | undefined;
  #clients: string | undefined;
  #told: string | undefined;

  constructor(options: ServerMaterialsOptions) {
    this.#options = options;
    const { identity, clientAuthorities, onError } = options;
    if (clientAuthorities !== undefined) {
      const stop = followFiles([clientAuthorities], {
        read: (pem = '') => {
          readCertificates(pem, clientAuthorities);
          return pem;
        },
        onChange: (pem) => {
          this.#clients = pem;
          this.#tell();
        },
        onError,
      });
      this.#stops.push(stop);
    }
    if (identity.kind === 'files') {
      const paths = [identity.cert, identity.key];
      const read = (cert = '', key = '') => readIdentity(cert, key, identity);
      this.#stops.push(followFiles(paths, { read, onChange: (one) => this.#show(one), onError }));
      return;
    }
    const { store, names } = identity;
    const { clock, random } = options;
    const keeper = new IdentityKeeper({ store, names, clock, random, onIdentity: (one) => this.#show(one), onError });
    this.#stops.push(() => keeper[Symbol.dispose]());
    void keeper.start();
  }

  /** Resolves once there is all that is needed: it may take as long as an API server is away, or a file is missing. */
  first(): Promise<Material> {
    return this.#first.promise;
  }

  /** Told of what comes after the first. */
  follow(use: (material: Material) => void): void {
    this.#followers.add(use);
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop();
    this.#followers.clear();
  }

  #show(identity: Identity): void {
    this.#identity = identity;
    this.#tell();
  }

  #tell(): void {
    const wanted = this.#options.clientAuthorities !== undefined;
    if (this.#identity === undefined || (wanted && this.#clients === undefined)) return;
    const material = { ...this.#identity, ...(this.#clients !== undefined && { clientAuthorities: this.#clients }) };
    const before = this.#told;
    this.#told = JSON.stringify(material);
    if (before === undefined) this.#first.resolve(material);
    else if (before !== this.#told) for (const follower of this.#followers) follower(material);
  }
}
