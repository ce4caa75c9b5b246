/** `berth aggregator` as a process, with an API server beside it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { StandIn } from './kube/standin/server.ts';
import { eventually } from './rpc/clusterfixture.ts';

const CLI = join(import.meta.dirname, '../daemon/cli.ts');
/** Of the Secret of the authority, and of the ConfigMap with its certificate. */
export const NAME = 'berth-aggregator-ca';

export interface Running {
  readonly child: ChildProcess;
  readonly lines: string[];
  /** Of the doors in their order, as its log says. */
  readonly addresses: readonly string[];
  /** The port of its metrics. */
  readonly metrics: number;
  readonly server: StandIn;
  logged(event: string): Record<string, unknown> | undefined;
  stop(): Promise<void>;
}

/** Gone when the test ends. Resolves once it listens. */
export async function running(t: ExecutionContext, ...flags: readonly string[]): Promise<Running> {
  const begun = await starting(t, flags);
  await eventually(() => begun.logged('listening') !== undefined || begun.child.exitCode !== null);
  if (begun.child.exitCode !== null) throw new Error(begun.lines.join('\n'));
  return begun;
}

/** As `running`, but does not wait. `env` is added to its environment. */
export async function starting(
  t: ExecutionContext,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const server = await StandIn.start();
  server.store.putData('Secret', 'berth-system', NAME);
  server.store.putData('ConfigMap', 'berth-system', NAME);
  const directory = mkdtempSync(join(tmpdir(), 'berth-aggregator-'));
  const kubeconfig = join(directory, 'config');
  const named = (name: string, key: string, value: object) => [{ name, [key]: value }];
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'x',
      clusters: named('x', 'cluster', { server: server.url, 'insecure-skip-tls-verify': true }),
      users: named('x', 'user', { token: 'canary-of-the-aggregator' }),
      contexts: named('x', 'context', { cluster: 'x', user: 'x' }),
    }),
  );
  const own = [
    '--listen=127.0.0.1:0',
    '--aggregator-metrics-address=127.0.0.1:0',
    '--log-level=debug',
    '--ready-after=0s',
  ];
  const child: ChildProcess = spawn(
    process.execPath,
    [CLI, 'aggregator', ...own, `--kubeconfig=${kubeconfig}`, ...flags],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    },
  );
  const exited = once(child, 'exit');
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
    });
  }
  const logged = (event: string) => {
    const found = lines.find((line) => line.includes(`"event":"${event}"`));
    return found === undefined ? undefined : (JSON.parse(found) as Record<string, unknown>);
  };
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
  };
  t.teardown(async () => {
    await stop();
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    child,
    lines,
    server,
    logged,
    stop,
    get addresses() {
      return String(logged('listening')?.address).split(', ');
    },
    get metrics() {
      const said = logged('listening')?.metrics ?? logged('metrics')?.address;
      return Number(String(said).split(':').at(-1));
    },
  };
}
