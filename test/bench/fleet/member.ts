/** A process of the measurement: one question at a time, each with one answer. */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { NODE_FLAGS } from '../../../deploy/bundle.ts';
import type { Namespace } from '../../kernel/namespace.ts';

/** Asks a process that `answering` is called in. `Questions` is an interface of functions with one argument. */
export class Member<Questions extends object> {
  readonly #child: ChildProcess;

  constructor(namespace: Namespace, program: string) {
    const script = new URL(program, import.meta.url).pathname;
    // As agents are run, whose part they play: with a young generation of 64 MB a process stands still for 50 to 100 ms to collect it.
    const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc'];
    this.#child = namespace.spawn(process.execPath, [...NODE_FLAGS, script], { stdio });
  }

  /** Rejects when the process has ended or its function threw. */
  async ask<K extends keyof Questions & string>(
    name: K,
    ...argument: Parameters<Extract<Questions[K], (...words: never) => unknown>>
  ): Promise<Awaited<ReturnType<Extract<Questions[K], (...words: never) => unknown>>>> {
    const settled = new AbortController();
    try {
      this.#child.send({ name, argument });
      const ended = once(this.#child, 'exit', { signal: settled.signal }).then(([code]) => ({ error: `exit ${code}` }));
      const answered = once(this.#child, 'message', { signal: settled.signal }).then(([message]) => message);
      ended.catch(() => {});
      answered.catch(() => {});
      const { answer, error } = await Promise.race([answered, ended]);
      if (error !== undefined) throw new Error(`${name}: ${error}`);
      return answer;
    } finally {
      settled.abort();
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** In the process: answers until whoever asks is gone. */
export function answering(answers: object): void {
  const functions = answers as Readonly<Record<string, (...argument: unknown[]) => unknown>>;
  process.on('message', async ({ name, argument }: { readonly name: string; readonly argument: unknown[] }) => {
    try {
      process.send?.({ answer: await functions[name]?.(...argument) });
    } catch (error) {
      process.send?.({ error: String((error as Error).stack ?? error) });
    }
  });
  process.once('disconnect', () => process.exit());
}
