/** What `nft monitor` tells of the changes of a namespace's ruleset, transaction by transaction. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Namespace } from '../namespace.ts';
import { answered } from './waiting.ts';

/** What nft prints after the last change of a transaction. */
const END = /^# new generation \d+ .*\n/m;

export class RulesetMonitor implements AsyncDisposable {
  readonly #namespace: Namespace;
  readonly #child: ChildProcess;
  #text = '';

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
    this.#child = namespace.spawn('/usr/sbin/nft', ['monitor'], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (data: string) => {
      this.#text += data;
    });
  }

  /** Resolves when changes are heard. */
  async started(): Promise<void> {
    await answered(() => {
      this.#namespace.run('/usr/sbin/nft', ['-f', '-'], 'table inet heard\ndelete table inet heard\ntable inet heard');
      return this.#text.includes('table inet heard') || undefined;
    }, 'the monitor listens');
    this.#text = '';
  }

  /** The text of the first transaction in which this was done, once it has happened. */
  transactionWith(change: RegExp): Promise<string> {
    const find = () =>
      this.#text
        .split(END)
        .slice(0, -1)
        .find((transaction) => change.test(transaction));
    return answered(find, `a transaction with ${change}`, { why: () => this.#text.slice(-2_000) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}
