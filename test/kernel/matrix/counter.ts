/** Counts packets in a namespace by an nft rule of its own: what the kernel saw, not what a server made of it. */
import type { Namespace } from '../namespace.ts';

export class PacketCounter implements Disposable {
  readonly #namespace: Namespace;
  readonly #table: string;

  /**
   * Counts what matches any of the rules' conditions (nft text, `ip saddr 192.0.2.3`), in the hook as it arrives or as it
   * is about to be delivered.
   */
  constructor(namespace: Namespace, hook: 'prerouting' | 'input', ...matches: readonly string[]) {
    this.#namespace = namespace;
    this.#table = `counting_${hook}`;
    const rules = matches.map((match) => `${match} counter name seen`);
    const chain = `type filter hook ${hook} priority -310; ${rules.join('; ')}`;
    namespace.run(
      '/usr/sbin/nft',
      ['-f', '-'],
      `table inet ${this.#table} {\n counter seen {}\n chain c {\n ${chain}\n}\n}`,
    );
  }

  get packets(): number {
    const text = this.#namespace.run('/usr/sbin/nft', ['list', 'counter', 'inet', this.#table, 'seen']);
    return Number(/packets (\d+)/.exec(text)?.[1]);
  }

  [Symbol.dispose](): void {
    this.#namespace.run('/usr/sbin/nft', ['delete', 'table', 'inet', this.#table]);
  }
}
