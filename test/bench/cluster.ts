/**
 * A node whose pods come from the real kube-apiserver, and the agent as it is shipped, with the credentials of a pod. All of it is in
 * the node's network namespace, and so is the thread that measures: it plays scheduler and kubelet, and listens to the kernel.
 */
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { watchObjects } from '../../daemon/kube/api/watch.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { makeBundle, NODE_FLAGS, RUN_ENV } from '../../deploy/bundle.ts';
import { tokenOf } from '../kube/apiserver/accounts.ts';
import type { Admin, Thing } from '../kube/apiserver/admin.ts';
import type { Binaries } from '../kube/apiserver/binaries.ts';
import { RealServer } from '../kube/apiserver/realserver.ts';
import { clientAs } from '../kube/apiserver/testserver.ts';
import { KernelNews } from './kernelnews.ts';
import { manifest, type PodPlan } from './mappings.ts';
import { BenchNode } from './node.ts';
import { now } from './observation.ts';

const NODE = 'bench';
const PODS = '/api/v1/namespaces/bench/pods';
/** Gives the program credentials where a container has them, on a /run of its own, and becomes the program. */
const AS_IN_A_POD = `
  set -e
  mount -t tmpfs tmpfs /run
  mkdir -p /run/secrets/kubernetes.io
  cp -r "$0" /run/secrets/kubernetes.io/serviceaccount
  exec "$@"`;

export class BenchCluster implements AsyncDisposable {
  /** By the pod's name: when the API server showed its promise, and its mappings. */
  readonly promised = new Map<string, number>();
  readonly announced = new Map<string, number>();
  readonly kernel = new KernelNews(() => this.#news());
  readonly #node: BenchNode;
  readonly #server: RealServer;
  readonly #admin: Admin;
  readonly #end = new AbortController();
  #watch: Promise<void> = Promise.resolve();
  #news: () => void = () => {};

  private constructor(node: BenchNode, server: RealServer) {
    this.#node = node;
    this.#server = server;
    this.#admin = server.admin();
  }

  static async start(binaries: Binaries): Promise<BenchCluster> {
    await using opened = new AsyncDisposableStack();
    const node = opened.use(new BenchNode());
    node.namespace.stay();
    const cluster = new BenchCluster(node, opened.use(await RealServer.start(binaries)));
    await cluster.#prepare();
    opened.move();
    return cluster;
  }

  get name(): string {
    return this.#server.name;
  }

  /** The bundle, as the image starts it, with a state of its own. `stop` kills it. */
  async agent(): Promise<{ stop(): Promise<void> }> {
    const { directory, namespace, log } = this.#node;
    rmSync(join(directory, 'state'), { recursive: true, force: true });
    const { hostname, port } = new URL(this.#server.url);
    const program = [process.execPath, ...NODE_FLAGS, join(directory, 'dist/berth.mjs'), 'agent'];
    const options = [
      ...['--pods', 'kubernetes', '--node-name', NODE],
      ...['--state-dir', join(directory, 'state'), '--socket', this.#node.socket],
    ];
    const output = openSync(log, 'a');
    const sh = ['sh', '-c', AS_IN_A_POD, join(directory, 'account')];
    const child = namespace.spawn('unshare', ['--mount', ...sh, ...program, ...options], {
      cwd: '/',
      env: { PATH: process.env.PATH, ...RUN_ENV, KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
      stdio: ['ignore', output, output],
    });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    return {
      async stop() {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  /** As a scheduler leaves it: on the node, without an address. */
  async create(plan: PodPlan): Promise<void> {
    const { metadata, spec, ...rest } = manifest(plan) as Thing;
    const { uid: _ours, ...known } = metadata;
    const containers = spec.containers.map((container: Thing) => ({ ...container, image: 'none' }));
    await this.#admin.create(PODS, { ...rest, metadata: known, spec: { ...spec, containers, nodeName: NODE } });
  }

  /** As kubelet tells the pod's address. Resolves to the moments when it was sent, and when the answer was there. */
  async address(plan: PodPlan & { readonly ip: string }): Promise<{ readonly sent: number; readonly visible: number }> {
    const { status } = manifest(plan) as Thing;
    const sent = now();
    await this.#admin.setStatus('bench', plan.name, status);
    return { sent, visible: now() };
  }

  async remove(plan: PodPlan): Promise<void> {
    await this.#admin.remove(`${PODS}/${plan.name}`, 0);
  }

  /** Resolves to what is asked for as soon as the kernel or the API server tells something that gives it. */
  async until<T>(ask: () => T | undefined, what: string, seconds = 30): Promise<T> {
    const end = now() + 1_000 * seconds;
    for (;;) {
      const answer = ask();
      if (answer !== undefined) return answer;
      if (now() > end) throw new Error(`not within ${seconds} s: ${what}\n${this.#agentLog()}`);
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#news = resolve;
        }),
        delay(1_000),
      ]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#watch;
    this.kernel[Symbol.dispose]();
    await this.#admin[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    this.#node[Symbol.dispose]();
  }

  async #prepare(): Promise<void> {
    await this.#admin.namespace('bench');
    await this.#admin.node(NODE);
    const account = join(this.#node.directory, 'account');
    mkdirSync(account);
    writeFileSync(join(account, 'token'), tokenOf('agent'));
    writeFileSync(join(account, 'ca.crt'), this.#server.tls.ca);
    await makeBundle(join(this.#node.directory, 'dist'));
    const { metadata } = await this.#admin.get(PODS);
    this.#watch = this.#follow(metadata.resourceVersion);
  }

  /** As somebody who waits for the numbers: by a watch, from where it ended when the server closes it on a slow reader. */
  async #follow(from: string): Promise<void> {
    await using client = clientAs('reader', this.#server, systemClock);
    let revision = from;
    while (!this.#end.signal.aborted) {
      const request = { path: '/api/v1/pods', selector: { fieldSelector: `spec.nodeName=${NODE}` }, revision };
      const limits = { timeoutSeconds: 3_600, idleMs: 3_600_000, signal: this.#end.signal };
      for await (const event of watchObjects(client, { ...request, ...limits })) {
        ({ revision } = event);
        if (event.kind === 'changed') this.#see((event.object as Thing).metadata);
      }
    }
  }

  #see({ name, annotations }: Thing): void {
    if (annotations['port.berth.dev/p0'] !== undefined && !this.promised.has(name)) this.promised.set(name, now());
    if (annotations['berth.dev/mappings'] !== undefined && !this.announced.has(name)) this.announced.set(name, now());
    this.#news();
  }

  #agentLog(): string {
    return readFileSync(this.#node.log, 'utf8').slice(-4_000);
  }
}
