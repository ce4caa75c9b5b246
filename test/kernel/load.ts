/** Clients that ask again and again, each with a connection of its own, until they are told to stop: what each was answered. */
import type { Site } from './agent.ts';

/** As many at a time as a machine with two cores serves without anybody waiting for long. */
const CLIENTS = 4;

export class Load implements AsyncDisposable {
  /** By answer: how often. */
  readonly answers = new Map<string, number>();
  readonly #done: Promise<unknown>;
  #stopped = false;

  constructor(site: Site, port: number) {
    this.#done = Promise.all(Array.from({ length: CLIENTS }, () => this.#ask(site, port)));
  }

  count(answer: string): number {
    return this.answers.get(answer) ?? 0;
  }

  /** Everything that was answered. */
  async stop(): Promise<ReadonlyMap<string, number>> {
    this.#stopped = true;
    await this.#done;
    return this.answers;
  }

  async #ask(site: Site, port: number): Promise<void> {
    while (!this.#stopped) {
      const answer = await site.ask(port);
      this.answers.set(answer, this.count(answer) + 1);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
