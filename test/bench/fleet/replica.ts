/** The aggregator as it is shipped (bundle), as a process of its own: over TLS, with tokens that an API server reviews. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { AGGREGATOR_NODE_FLAGS, RUN_ENV } from '../../../deploy/bundle.ts';
import type { Namespace } from '../../kernel/namespace.ts';
import { cpuMs, resident } from '../process.ts';

const [PORT, METRICS, PLAIN] = [9_467, 9_466, 9_465];
/** In a namespace of its own every port is free. */
export const ADDRESS = `127.0.0.1:${PORT}`;
const READY_LINE = '"event":"ready"';
const INFO = '"level":"info"';
const MAX_WARNINGS = 100;

export interface ReplicaPlace {
  readonly namespace: Namespace;
  /** Of the bundle and the kubeconfig. */
  readonly directory: string;
  readonly apiServer: string;
}

export class Replica {
  /** The first lines of its log that should not be there. */
  readonly warnings: string[] = [];
  readonly #process: ChildProcess;
  readonly #ready: Promise<number>;

  constructor({ namespace, directory, apiServer }: ReplicaPlace) {
    const program = join(directory, 'dist', 'berth.mjs');
    const kubeconfig = join(directory, 'kubeconfig');
    writeFileSync(kubeconfig, JSON.stringify(kubeconfigFor(apiServer)));
    const flags = [
      `--listen=127.0.0.1:${PLAIN}`,
      `--secure-listen=${ADDRESS}`,
      `--aggregator-metrics-address=127.0.0.1:${METRICS}`,
      `--kubeconfig=${kubeconfig}`,
      // As long as it takes: that is what is measured.
      '--ready-after=10m',
      '--log-format=json',
      // All of them come from this host.
      '--connections-per-address=25000',
    ];
    const began = performance.now();
    this.#process = namespace.spawn(process.execPath, [...AGGREGATOR_NODE_FLAGS, program, 'aggregator', ...flags], {
      cwd: '/',
      env: { PATH: process.env.PATH, ...RUN_ENV },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#ready = promise;
    promise.catch(() => {});
    createInterface({ input: this.#process.stderr as Readable }).on('line', (line) => {
      if (line.includes(READY_LINE)) resolve(performance.now() - began);
      if (!line.includes(INFO) && this.warnings.length < MAX_WARNINGS) this.warnings.push(line);
    });
    this.#process.once('exit', (code, signal) =>
      reject(new Error(`the aggregator ended: ${signal ?? `exit ${code}`}`)),
    );
  }

  /** Resolves to how long it took from its start until every node had told it its mappings, in ms. */
  async complete(withinMs: number): Promise<number> {
    const late = new AbortController();
    const deadline = setTimeout(withinMs, undefined, { signal: late.signal }).then(() => {
      throw new Error(`the aggregator was not complete within ${withinMs / 1_000} s`);
    });
    deadline.catch(() => {});
    try {
      return await Promise.race([this.#ready, deadline]);
    } finally {
      late.abort();
    }
  }

  get cpuMs(): number {
    return cpuMs(this.#process.pid as number);
  }

  get resident(): { readonly now: number; readonly peak: number } {
    return resident(this.#process.pid as number);
  }

  /** As a node that fails takes it: without a word. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }
}

function kubeconfigFor(server: string): object {
  const named = (key: string, value: object) => [{ name: 'x', [key]: value }];
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'x',
    clusters: named('cluster', { server, 'insecure-skip-tls-verify': true }),
    users: named('user', { token: 'of-the-aggregator' }),
    contexts: named('context', { cluster: 'x', user: 'x' }),
  };
}
