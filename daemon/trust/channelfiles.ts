/** Whom a client trusts and who it is, from files that may be replaced at any time. */
import { followFiles } from './files.ts';
import { type Identity, readCertificates, readIdentity } from './identity.ts';

/** Paths. */
export interface ChannelPaths {
  readonly authorities: string;
  readonly identity?: Identity;
}

interface Material {
  readonly authorities: string;
  readonly identity?: Identity;
}

export class ChannelFiles implements Disposable {
  readonly #followers = new Set<(material: Material) => void>();
  readonly #stop: () => void;
  #material: Material | undefined;

  /** Files that are missing are waited for: the authority of an aggregator is published when its first replica runs. */
  constructor({ authorities, identity }: ChannelPaths, onError: (error: Error) => void) {
    const paths = identity === undefined ? [authorities] : [authorities, identity.cert, identity.key];
    this.#stop = followFiles(paths, {
      read: (bundle = '', cert = '', key = '') => {
        readCertificates(bundle, authorities);
        return { authorities: bundle, ...(identity && { identity: readIdentity(cert, key, identity) }) };
      },
      onChange: (material: Material) => {
        this.#material = material;
        for (const follower of this.#followers) follower(material);
      },
      onError,
    });
  }

  /** Calls back at once when there is something, and with every change; returns what ends that. */
  follow(use: (material: Material) => void): () => void {
    this.#followers.add(use);
    if (this.#material !== undefined) use(this.#material);
    return () => this.#followers.delete(use);
  }

  [Symbol.dispose](): void {
    this.#stop();
    this.#followers.clear();
  }
}
