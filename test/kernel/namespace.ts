/**
 * Network namespaces for tests on the real kernel: made, wired, entered, and always removed, with the processes that were
 * started in them. Nothing here may touch the namespace in which the test itself was started.
 *
 *     using node = Namespace.create('node');
 *     using client = Namespace.create('client');
 *     node.link('eth0', client, 'eth0');
 *     node.address('eth0', '192.0.2.1/24', '2001:db8::1/64');
 *     client.address('eth0', '192.0.2.2/24', '2001:db8::2/64');
 *     node.run('/usr/sbin/nft', ['-f', '-'], 'table inet x {}');
 *     const network = node.enter(() => new NodeNetwork());
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { check, libcFunction } from '../../daemon/native/libc.ts';

const setns = libcFunction<(fd: number, type: number) => number>('int setns(int, int)');
const CLONE_NEWNET = 0x40000000;

const living = new Set<Namespace>();
// For a test that crashes or calls process.exit: `using` does not run then.
process.on('exit', () => {
  for (const namespace of living) namespace[Symbol.dispose]();
});
let created = 0;

export class Namespace implements Disposable {
  /** `berth-<pid>-<number>-<label>`, as `ip netns` knows it. */
  readonly name: string;
  readonly #children = new Set<ChildProcess>();
  #home: number | undefined;

  private constructor(name: string) {
    this.name = name;
  }

  /** A new namespace with its loopback device up. Removed by `using` or `await using`, at the latest at exit. */
  static create(label = 'ns'): Namespace {
    const namespace = new Namespace(`berth-${process.pid}-${++created}-${label}`);
    execFileSync('ip', ['netns', 'add', namespace.name]);
    living.add(namespace);
    namespace.ip('link set lo up');
    return namespace;
  }

  /** `ip -n <name> <words>`: words are split at spaces. Returns the output; throws with the program's message. */
  ip(words: string): string {
    return output('ip', ['-n', this.name, ...words.split(' ')]);
  }

  /** Runs a program in the namespace to its end. Returns its output; throws with the program's message. */
  run(program: string, args: readonly string[] = [], input?: string): string {
    return output('ip', ['netns', 'exec', this.name, program, ...args], input);
  }

  /** Starts a program in the namespace; killed (SIGKILL) when the namespace is removed, if it still runs. */
  spawn(program: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    // Not through `ip netns exec`: the child would be `ip` until it execs, and a signal in between would hit that.
    const child = this.enter(() => spawn(program, args, options));
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** `spawn` of a TypeScript file under this very Node. */
  node(script: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    return this.spawn(process.execPath, [script, ...args], options);
  }

  /**
   * Runs a synchronous action with the main thread inside the namespace. What it opens belongs to the namespace for good:
   * netlink and other sockets, `createServer().listen(port)` without a host (with one, Node opens the socket later), child
   * processes, files of /proc/sys/net. An async function runs inside only up to its first await. Worker threads are
   * outside: async calls of koffi on a socket that was opened here are right, `fs.promises` on /proc/sys/net is not.
   */
  enter<T>(action: () => T): T {
    const home = openSync('/proc/thread-self/ns/net', 'r');
    try {
      this.#setns();
      try {
        return action();
      } finally {
        check('setns', setns()(home, CLONE_NEWNET));
      }
    } finally {
      closeSync(home);
    }
  }

  /** Moves the main thread into the namespace until the namespace is removed: for a test file that lives in one. */
  stay(): void {
    this.#home ??= openSync('/proc/thread-self/ns/net', 'r');
    this.#setns();
  }

  /** Reads a setting: `sysctl('net.ipv4.conf.eth0.route_localnet')`; sets it when a value is given. */
  sysctl(setting: string, value?: string | number): string {
    // A device's name may hold dots, so only the form with slashes is exact.
    const path = `/proc/sys/${setting.includes('/') ? setting : setting.replaceAll('.', '/')}`;
    return this.enter(() => {
      if (value !== undefined) writeFileSync(path, String(value));
      return readFileSync(path, 'utf8').trim();
    });
  }

  /** A veth pair between this namespace and another (or itself), both ends up, no addresses. */
  link(device: string, peer: Namespace, peerDevice: string): void {
    this.ip(`link add ${device} type veth peer name ${peerDevice} netns ${peer.name}`);
    this.ip(`link set ${device} up`);
    peer.ip(`link set ${peerDevice} up`);
  }

  /** Adds addresses in CIDR notation. IPv6 without duplicate detection: usable at once. */
  address(device: string, ...cidrs: readonly string[]): void {
    for (const cidr of cidrs) this.ip(`addr add ${cidr} dev ${device}${cidr.includes(':') ? ' nodad' : ''}`);
  }

  /** A bridge that is up, with these addresses. */
  bridge(device: string, ...cidrs: readonly string[]): void {
    this.ip(`link add ${device} type bridge`);
    this.ip(`link set ${device} up`);
    this.address(device, ...cidrs);
  }

  /** Makes the device a port of the bridge. */
  attach(device: string, bridge: string): void {
    this.ip(`link set ${device} master ${bridge}`);
  }

  [Symbol.dispose](): void {
    if (!living.delete(this)) return;
    for (const child of this.#children) child.kill('SIGKILL');
    if (this.#home !== undefined) {
      check('setns', setns()(this.#home, CLONE_NEWNET));
      closeSync(this.#home);
    }
    execFileSync('ip', ['netns', 'del', this.name]);
  }

  #setns(): void {
    const fd = openSync(`/run/netns/${this.name}`, 'r');
    try {
      check('setns', setns()(fd, CLONE_NEWNET));
    } finally {
      closeSync(fd);
    }
  }
}

/** Waits until the condition holds, asking it at every turn of the loop; throws after `seconds`. */
export async function until(condition: () => boolean, what: string, seconds = 30): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await turn();
  }
}

function output(program: string, args: readonly string[], input?: string): string {
  const options = { encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 28 } as const;
  return execFileSync(program, args, input === undefined ? options : { ...options, input });
}
