/** What the tests of the directory share: a directory of their own, a hand-driven clock, and an observer that writes down. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { Pod, PodRef } from '../../daemon/core/vocabulary.ts';
import type { Clock, PodObserver, PodSource } from '../../daemon/reconcile/ports.ts';

export class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'berth-kube-'));

  join(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** As manifests should be written: whole, by rename. Objects are written as JSON, which is YAML too. */
  put(name: string, content: object | string): void {
    writeFileSync(this.join('.new'), typeof content === 'string' ? content : JSON.stringify(content));
    renameSync(this.join('.new'), this.join(name));
  }

  remove(name: string): void {
    rmSync(this.join(name));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Resolves when the condition holds; each time it does not, the event loop turns once. The test's own time limit ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Time stands still but for `advance`. */
export class ManualClock implements Clock {
  #time = 0;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  now(): number {
    return Date.UTC(2026, 0, 31) + this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#time + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** When the timers that are set fire, in ms from now, the earliest first. */
  get pending(): readonly number[] {
    return [...this.#timers].map(({ at }) => at - this.#time).sort((one, other) => one - other);
  }

  advance(ms: number): void {
    const target = this.#time + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= target).sort((one, other) => one.at - other.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#time = Math.max(this.#time, due.at);
      due.callback();
    }
    this.#time = target;
  }

  /**
   * Until the condition holds, lets each timer fire in its turn that is at most `within` ms away when everything else has
   * come to rest. Who reads a file has no timer: time stands still meanwhile.
   */
  async runUntil(condition: () => boolean, within: number): Promise<void> {
    await until(() => {
      if (condition()) return true;
      const [next] = this.pending;
      if (next !== undefined && next <= within) this.advance(next);
      return false;
    });
  }
}

/** Writes down what a source tells, as `listed a b`, `changed a`, `deleted a uid-1`, `failed …`. Ends its watch when disposed. */
export class Watching implements PodObserver, AsyncDisposable {
  readonly news: string[] = [];
  readonly errors: Error[] = [];
  readonly pods = new Map<string, Pod>();
  readonly #end = new AbortController();
  readonly #done: Promise<void>;

  constructor(source: PodSource) {
    this.#done = source.watch(this, this.#end.signal);
  }

  listed(pods: readonly Pod[]): void {
    this.news.push(['listed', ...pods.map(({ name }) => name)].join(' '));
    this.pods.clear();
    for (const pod of pods) this.pods.set(pod.name, pod);
  }

  changed(pod: Pod): void {
    this.news.push(`changed ${pod.name}`);
    this.pods.set(pod.name, pod);
  }

  deleted(pod: PodRef): void {
    this.news.push(`deleted ${pod.name} ${pod.uid}`);
    if (this.pods.get(pod.name)?.uid === pod.uid) this.pods.delete(pod.name);
  }

  failed(error: Error): void {
    this.news.push('failed');
    this.errors.push(error);
  }

  /** Resolves once this was told, counted from the last call of `heard` or `take`. */
  async heard(...news: readonly string[]): Promise<void> {
    await until(() => news.every((one) => this.news.includes(one)));
    this.news.length = 0;
  }

  end(): Promise<void> {
    this.#end.abort();
    return this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
