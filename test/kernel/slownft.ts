/** An nft that takes its time, for one agent alone: it stands in the place of the real one in a mount namespace. */
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Site, StartOptions } from './agent.ts';
import { NFT } from './standing.ts';

export class SlowNft {
  /** For `Site.start`. */
  readonly start: StartOptions;
  readonly #site: Site;

  /** It waits so many seconds before each run; the question for its version is answered at once. */
  constructor(site: Site, seconds: number) {
    this.#site = site;
    const real = join(site.directory, 'real-nft');
    const slow = join(site.directory, 'slow-nft');
    copyFileSync(NFT, real);
    writeFileSync(slow, `#!/bin/sh\ncase "$1" in --version) ;; *) /bin/sleep ${seconds} ;; esac\nexec ${real} "$@"\n`);
    for (const path of [real, slow]) chmodSync(path, 0o755);
    this.start = { under: ['unshare', '--mount', 'sh', '-c', `mount --bind ${slow} ${NFT} && exec "$@"`, 'sh'] };
  }

  /** How many runs are under way in the node, also those that an agent left behind. */
  get running(): number {
    const { node } = this.#site;
    const pids = node.run('ip', ['netns', 'pids', node.name]).trim().split('\n');
    return pids.filter((pid) => commandOf(pid).some((word) => word === NFT || word.endsWith('/real-nft'))).length;
  }
}

/** Empty for a process that has ended. */
function commandOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
