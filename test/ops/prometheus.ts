/** Debian's Prometheus, where it was fetched or is installed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { stringify } from 'yaml';

/** What a test says that cannot be run. */
export const MISSING = 'skipped: there is no Prometheus on this machine: test/prometheus.sh fetches it';

/** The path of `prometheus` or `promtool`; undefined when it is not there. */
export function findProgram(name: 'prometheus' | 'promtool'): string | undefined {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'berth-prometheus/usr/bin');
  const directories = [cache, ...(process.env.PATH ?? '').split(delimiter)];
  return directories.map((directory) => join(directory, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface ActiveTarget {
  readonly labels: Readonly<Record<string, string>>;
  readonly scrapeUrl: string;
  readonly health: string;
}

export interface Prometheus {
  /** The targets that it scrapes. */
  targets(): Promise<readonly ActiveTarget[]>;
  /** What its service discovery or its targets have failed with, as its log says. */
  logged(pattern: RegExp): boolean;
}

/** On loopback, with its data in a directory of its own; gone when the test ends. */
export async function prometheus(t: ExecutionContext, program: string, scrapeConfigs: object[]): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-prometheus-'));
  const config = join(directory, 'prometheus.yml');
  writeFileSync(config, stringify({ global: { scrape_interval: '1s' }, scrape_configs: scrapeConfigs }));
  // It does not say which port it was given.
  const port = await freePort();
  const own = [`--config.file=${config}`, `--storage.tsdb.path=${directory}`, `--web.listen-address=127.0.0.1:${port}`];
  const child: ChildProcess = spawn(program, own, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  while (!log.includes('Server is ready to receive web requests')) {
    if (child.exitCode !== null) throw new Error(log);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    targets: async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/targets?state=active`);
      const { data } = (await answer.json()) as { data: { activeTargets: ActiveTarget[] } };
      return data.activeTargets;
    },
    logged: (pattern) => pattern.test(log),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
