/**
 * The real kube-apiserver with its etcd, on free ports of the loopback, in a directory of its own: nothing else of a cluster runs.
 * Both end with the process that started them, however that ends.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Account, roleObjects, tokenOf, userOf } from './accounts.ts';
import { Admin } from './admin.ts';
import type { Binaries } from './binaries.ts';
import type { TestServer } from './testserver.ts';

const START_SECONDS = 60;

const directories = new Set<string>();
// For a test that crashes or calls process.exit; the programs end with the process anyway.
process.on('exit', () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

export class RealServer implements TestServer {
  name = 'kube-apiserver';
  readonly url: string;
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-apiserver-'));
  readonly #binaries: Binaries;
  readonly #ports: { readonly api: number; readonly etcd: number; readonly peer: number };
  #etcd: ChildProcess | undefined;
  #apiserver: ChildProcess | undefined;

  private constructor(binaries: Binaries, [api, etcd, peer]: readonly [number, number, number]) {
    this.url = `https://127.0.0.1:${api}`;
    directories.add(this.directory);
    this.#binaries = binaries;
    this.#ports = { api, etcd, peer };
  }

  /** In the network namespace that the thread is in. Resolves when it is ready and the accounts have their roles. */
  static async start(binaries: Binaries): Promise<RealServer> {
    const server = new RealServer(binaries, await freePorts());
    try {
      server.#prepare();
      server.#etcd = server.#spawn('etcd', binaries.etcd, server.#etcdArguments);
      await server.#startApiserver();
      await using admin = server.admin();
      server.name = `kube-apiserver ${(await admin.get('/version')).gitVersion}`;
      for (const [collection, object] of roleObjects()) {
        await admin.create(`/apis/rbac.authorization.k8s.io/v1/${collection}`, object);
      }
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The certificates that the server made for itself. */
  get tls(): { readonly ca: string } {
    return { ca: readFileSync(join(this.directory, 'certificates/apiserver.crt'), 'utf8') };
  }

  admin(): Admin {
    return new Admin(this.url, this.tls);
  }

  /** Everything that happened so far is compacted, and the server starts anew: its watch cache knows only what comes. */
  async forget(): Promise<void> {
    await this.#end(this.#apiserver);
    const etcd = `http://127.0.0.1:${this.#ports.etcd}/v3/kv`;
    const post = async (path: string, body: object) =>
      (await fetch(`${etcd}/${path}`, { method: 'POST', body: JSON.stringify(body) })).json();
    const { header } = (await post('range', { key: 'AA==' })) as { header: { revision: string } };
    await post('compaction', { revision: header.revision, physical: true });
    await this.#startApiserver();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(this.#apiserver);
    await this.#end(this.#etcd);
    rmSync(this.directory, { recursive: true, force: true });
    directories.delete(this.directory);
  }

  #prepare(): void {
    mkdirSync(join(this.directory, 'certificates'));
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(this.directory, 'accounts.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    const accounts: readonly Account[] = ['admin', 'agent', 'reader'];
    const lines = accounts.map((account) => {
      const group = account === 'admin' ? 'system:masters' : 'system:serviceaccounts';
      return `${tokenOf(account)},${userOf(account)},${account},${group}\n`;
    });
    writeFileSync(join(this.directory, 'tokens.csv'), lines.join(''), { mode: 0o600 });
  }

  async #startApiserver(): Promise<void> {
    const child = this.#spawn('kube-apiserver', this.#binaries.apiserver, this.#apiserverArguments);
    this.#apiserver = child;
    const end = performance.now() + START_SECONDS * 1_000;
    while (!(await this.#isReady())) {
      const ended = child.exitCode !== null || this.#etcd?.exitCode !== null;
      if (ended || performance.now() > end) throw new Error(`kube-apiserver is not ready: ${this.#log()}`);
      await delay(50);
    }
  }

  async #isReady(): Promise<boolean> {
    try {
      await using admin = this.admin();
      return (await admin.text('/readyz')) === 'ok';
    } catch {
      return false;
    }
  }

  get #etcdArguments(): readonly string[] {
    const client = `http://127.0.0.1:${this.#ports.etcd}`;
    const peer = `http://127.0.0.1:${this.#ports.peer}`;
    return [
      `--data-dir=${join(this.directory, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--log-level=warn',
    ];
  }

  get #apiserverArguments(): readonly string[] {
    const key = join(this.directory, 'accounts.key');
    return [
      `--etcd-servers=http://127.0.0.1:${this.#ports.etcd}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${this.#ports.api}`,
      `--cert-dir=${join(this.directory, 'certificates')}`,
      `--token-auth-file=${join(this.directory, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      // Nothing makes service accounts for the pods there.
      '--disable-admission-plugins=ServiceAccount',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-signing-key-file=${key}`,
      `--service-account-key-file=${key}`,
      '--service-cluster-ip-range=10.96.0.0/16',
    ];
  }

  /** The kernel ends it with the thread that started it. */
  #spawn(name: string, program: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.directory, `${name}.log`), 'a');
    const options: SpawnOptions = { cwd: this.directory, stdio: ['ignore', log, log] };
    return spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], options);
  }

  /** What it has is of no use afterwards: it need not end well. */
  async #end(child: ChildProcess | undefined): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  #log(): string {
    return ['etcd', 'kube-apiserver']
      .map((name) => readFileSync(join(this.directory, `${name}.log`), 'utf8').slice(-2_000))
      .join('\n');
  }
}

/** Nobody keeps them until they are used: on a busy machine a start may fail for it, and says so. */
async function freePorts(): Promise<readonly [number, number, number]> {
  const servers = await Promise.all(
    [0, 1, 2].map(async () => {
      const server = createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const [one, two, three] = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return [one ?? 0, two ?? 0, three ?? 0];
}
