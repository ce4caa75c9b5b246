/** An authority's place in memory, which several replicas can share, for tests. */
import type { AuthorityStore } from './authority.ts';

export class MemoryAuthorityStore implements AuthorityStore {
  readonly where = 'Secret berth-system/berth-aggregator-ca';
  data: Readonly<Record<string, string>> = {};
  published = '';
  /** How often something was written. */
  writes = 0;
  #revision = 1;
  /** Called between a read and the write that follows it. */
  meanwhile: () => void | Promise<void> = () => {};

  async read() {
    return { data: this.data, revision: `${this.#revision}` };
  }

  async replace(data: Readonly<Record<string, string>>, revision: string): Promise<boolean> {
    await this.meanwhile();
    if (revision !== `${this.#revision}`) return false;
    this.write(data);
    return true;
  }

  async publish(bundle: string): Promise<void> {
    this.published = bundle;
  }

  write(data: Readonly<Record<string, string>>): void {
    this.data = data;
    this.#revision++;
    this.writes++;
  }
}
