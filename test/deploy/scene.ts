/** deploy/aggregated on a real API server: its objects, tokens that the server makes, and the aggregator as a process with one of them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';
import { tokenOf } from '../kube/apiserver/accounts.ts';
import type { Admin } from '../kube/apiserver/admin.ts';
import type { RealServer } from '../kube/apiserver/realserver.ts';
import { eventually } from '../rpc/clusterfixture.ts';
import { only, patched, resourcesOf, type Thing } from './manifests.ts';

const ROOT = join(import.meta.dirname, '../..');
export const NAMESPACED = '/api/v1/namespaces/berth-system';

/** Everything of deploy/aggregated, as kustomize has it; before Kubernetes 1.21 policy/v1 was v1beta1. */
export function manifests(minor: number): readonly Thing[] {
  const base = resourcesOf('base').map((one) =>
    one.kind === 'DaemonSet' ? patched(one, 'components/aggregator/patch.yaml') : one,
  );
  return [...base, ...resourcesOf('aggregator')].map((one) =>
    one.kind === 'PodDisruptionBudget' && minor < 21 ? { ...one, apiVersion: 'policy/v1beta1' } : one,
  );
}

/** The same of deploy/claiming. */
export function claimingManifests(minor: number): readonly Thing[] {
  const aggregated = manifests(minor).map((one) =>
    one.kind === 'Deployment' ? patched(one, 'components/claims/patch.yaml') : one,
  );
  return [...aggregated, ...resourcesOf('claims')];
}

export class Scene implements AsyncDisposable {
  readonly server: RealServer;
  readonly admin: Admin;
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-deploy-'));

  constructor(server: RealServer) {
    this.server = server;
    this.admin = server.admin();
  }

  kubeconfig(token: string): string {
    const named = (key: string, value: object) => [{ name: 'x', [key]: value }];
    const ca = Buffer.from(this.server.tls.ca).toString('base64');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'x',
      clusters: named('cluster', { server: this.server.url, 'certificate-authority-data': ca }),
      users: named('user', { token }),
      contexts: named('context', { cluster: 'x', user: 'x' }),
    };
    const path = join(this.directory, `${token.slice(-8)}.kubeconfig`);
    writeFileSync(path, JSON.stringify(config));
    return path;
  }

  /** One line an object. */
  async apply(objects: readonly Thing[]): Promise<readonly string[]> {
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    const kubeconfig = this.kubeconfig(tokenOf('admin'));
    const { stdout } = await execa('kubectl', ['--kubeconfig', kubeconfig, 'apply', '-f', '-'], { input });
    return stdout.trim().split('\n');
  }

  /** As kubelet gets it for a pod, or `kubectl create token` for anybody. */
  async token(account: string, audiences: readonly string[], pod?: Thing): Promise<string> {
    const boundObjectRef = pod && { kind: 'Pod', apiVersion: 'v1', name: pod.metadata.name, uid: pod.metadata.uid };
    const answer = await this.admin.create(`${NAMESPACED}/serviceaccounts/${account}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3_600, audiences, ...(boundObjectRef && { boundObjectRef }) },
    });
    return answer.status.token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.admin[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Running {
  /** From one moment to the next. */
  readonly kill: () => void;
  readonly address: string;
  readonly metrics: number;
  readonly lines: readonly string[];
}

/** The aggregator with its arguments in the Deployment, and more, but on ports that the kernel chooses. */
export async function aggregator(
  t: ExecutionContext,
  kubeconfig: string,
  more: readonly string[] = [],
): Promise<Running> {
  const [container] = only(resourcesOf('aggregator'), 'Deployment').spec.template.spec.containers;
  const own = container.args.map((one: string) => one.replace(/0\.0\.0\.0:\d+/, '0.0.0.0:0'));
  const flags = ['--listen=127.0.0.1:0', `--kubeconfig=${kubeconfig}`, '--ready-after=10m', ...more];
  const child: ChildProcess = spawn(process.execPath, [join(ROOT, 'daemon/cli.ts'), ...own, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH },
  });
  const exited = once(child, 'exit');
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  t.teardown(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  await eventually(() => log.includes('"event":"listening"') || child.exitCode !== null);
  const line = log.split('\n').find((one) => one.includes('"event":"listening"'));
  if (line === undefined) throw new Error(log);
  const { address, metrics } = JSON.parse(line);
  return {
    kill: () => void child.kill('SIGKILL'),
    address: address.split(', ')[1].replace('0.0.0.0', '127.0.0.1'),
    metrics: Number(metrics.split(':').at(-1)),
    get lines() {
      return log.split('\n');
    },
  };
}
