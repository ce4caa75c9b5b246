/**
 * The machines of the cluster: nodes, the control plane, a client outside. What is done here no pod and no user of Kubernetes could
 * do; on a cluster of somebody else's (KUBECONFIG) there is none of it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';

const SCRIPTS = join(import.meta.dirname, 'lab');
const RUN = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'berth-cluster/run');

/** False on another cluster. */
export const HAS_NODES = process.env.KUBECONFIG === undefined && process.env.KUBEBUILDER_ASSETS === undefined;

export const CLIENT = '10.90.0.100';
const CLIENT_NAMESPACE = '/run/netns/berth-client';
const CONTROL_NAMESPACE = '/run/netns/berth-control';

/** How kubectl is called: the API server of the lab can be reached in its namespaces only. */
export const KUBECTL: readonly [string, ...string[]] =
  process.env.KUBECONFIG === undefined
    ? ['nsenter', `--net=${CONTROL_NAMESPACE}`, 'kubectl', '--kubeconfig', join(RUN, 'admin.kubeconfig')]
    : ['kubectl'];

/** The address of `node-1` is 10.90.0.1. */
export function addressOf(node: string): string {
  return `10.90.0.${node.slice('node-'.length)}`;
}

/** A path below /var of a node, as seen from outside of it. */
export function pathInVar(node: string, path: string): string {
  return join(RUN, 'nodes', node, 'var', path);
}

/** Runs a command in the node. Rejects when it fails. */
export async function inNode(node: string, ...command: readonly string[]): Promise<string> {
  return (await execa(join(SCRIPTS, 'inside.sh'), [node, ...command])).stdout;
}

/** Pulls the plug of a node. */
export async function stopNode(node: string): Promise<void> {
  await execa(join(SCRIPTS, 'node-stop.sh'), [node]);
}

/** Starts it again; resolves when it is Ready. */
export async function startNode(node: string): Promise<void> {
  await execa(join(SCRIPTS, 'node.sh'), [node]);
}

export async function reboot(node: string): Promise<void> {
  await stopNode(node);
  await startNode(node);
}

/** Ends a process of the cluster and starts it again after that time. */
export async function restart(name: string, secondsDown = 0): Promise<void> {
  await execa(join(SCRIPTS, 'restart.sh'), [name, String(secondsDown)]);
}

/** Puts the portmap plugin into the CNI chain of a node, or takes it out, for pods made from now on. */
export async function setPortmap(node: string, on: boolean): Promise<void> {
  await execa(join(SCRIPTS, 'cni.sh'), [node, ...(on ? ['portmap'] : [])]);
  // containerd reads the chain again when it sees the file change.
  await delay(1000);
}

/** What the client outside gets for a request over HTTP. Rejects when there is no answer. */
export async function fetchOutside(address: string, port: number): Promise<string> {
  const curl = ['curl', '--silent', '--show-error', '--fail', '--max-time', '3', `http://${address}:${port}/`];
  return (await execa('nsenter', [`--net=${CLIENT_NAMESPACE}`, ...curl])).stdout;
}

/** What the client outside gets for a datagram; empty when nothing comes within a second. */
export async function askByUdp(address: string, port: number): Promise<string> {
  const socat = ['socat', '-t', '1', '-', `UDP4:${address}:${port}`];
  return (await execa('nsenter', [`--net=${CLIENT_NAMESPACE}`, ...socat], { input: 'hello\n', reject: false })).stdout;
}

/** Whether the client outside is refused at once: by a reset, not by silence. */
export async function isRefused(address: string, port: number): Promise<boolean> {
  const error = await fetchOutside(address, port).then(
    () => undefined,
    ({ stderr }: { readonly stderr: string }) => stderr,
  );
  return error !== undefined && /refused|Failed to connect|Couldn't connect/i.test(error);
}

export interface LoadReport {
  readonly answers: number;
  /** One text for each request that failed. */
  readonly failures: readonly string[];
  /** The longest time between two answers, in ms. */
  readonly longestGapMs: number;
}

/** Requests from outside, each over a connection of its own, and one connection that stays open, until `stop`. */
export class Load {
  readonly #child;

  constructor(address: string, port: number) {
    const script = join(import.meta.dirname, 'load.ts');
    const args = [`--net=${CLIENT_NAMESPACE}`, process.execPath, script, address, String(port)];
    this.#child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  }

  async stop(): Promise<LoadReport> {
    this.#child.stdin.end();
    for await (const line of createInterface(this.#child.stdout)) return JSON.parse(line);
    throw new Error('the load ended without a report');
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** The process ids of the agent on a node, as the machine outside sees them. */
export function agentPids(node: string): readonly number[] {
  const listed = execFileSync('pgrep', ['-f', '/opt/berth/berth.mjs agent'], { encoding: 'utf8' });
  const pids = listed.trim().split('\n').map(Number);
  const inode = (path: string) => execFileSync('stat', ['-Lc', '%i', path], { encoding: 'utf8' }).trim();
  const namespace = inode(`/run/netns/berth-${node}`);
  return pids.filter((pid) => inode(`/proc/${pid}/ns/net`) === namespace);
}
