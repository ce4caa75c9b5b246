/**
 * The small node of the demonstration, in network namespaces: a node with a bridge, two pods behind it, a client outside.
 *
 *   client 10.90.2.2 ---- 10.90.2.1 node 10.90.1.1 (br0) ---- 10.90.1.11 pod one
 *                                                       \---- 10.90.1.12 pod two
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Namespace } from '../kernel/namespace.ts';

const run = promisify(execFile);
export const NODE_IP = '10.90.2.1';
export const CLIENT_IP = '10.90.2.2';
const CLI = new URL('../../daemon/cli.ts', import.meta.url).pathname;
const SERVER = new URL('server.ts', import.meta.url).pathname;

export interface PodPlan {
  readonly name: string;
  readonly uid: string;
  readonly ip: string;
}

interface WatchLine {
  readonly event: string;
  readonly mapping?: { readonly name: string; readonly podIPs: readonly string[]; readonly containerPort: number };
}

export class Scene implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-demo-'));
  readonly pods = join(this.directory, 'pods');
  readonly socket = join(this.directory, 'agent.sock');
  readonly node = Namespace.create('node');
  readonly client = Namespace.create('client');
  readonly #places = new Map<string, Namespace>();

  constructor() {
    mkdirSync(this.pods);
    const { node, client } = this;
    node.bridge('br0', '10.90.1.1/24');
    node.link('eth0', client, 'eth0');
    node.address('eth0', `${NODE_IP}/24`);
    client.address('eth0', `${CLIENT_IP}/24`);
    node.sysctl('net.ipv4.ip_forward', 1);
    for (const ip of ['10.90.1.11', '10.90.1.12']) {
      const pod = Namespace.create(`pod${ip.slice(-2)}`);
      node.link(`veth${ip.slice(-2)}`, pod, 'eth0');
      node.attach(`veth${ip.slice(-2)}`, 'br0');
      pod.address('eth0', `${ip}/24`);
      pod.ip('route add default via 10.90.1.1');
      this.#places.set(ip, pod);
    }
  }

  place(ip: string): Namespace {
    return this.#places.get(ip) as Namespace;
  }

  /** Resolves when the pod's servers listen. */
  async serve({ name, ip }: PodPlan): Promise<ChildProcess> {
    const child = this.place(ip).node(SERVER, [name], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    return child;
  }

  /** Writes the pod's manifest as one file, in one step. */
  declare({ name, uid, ip }: PodPlan): void {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace: 'default',
        uid,
        annotations: { 'berth.dev/ports': '' },
        creationTimestamp: new Date().toISOString(),
      },
      spec: {
        containers: [
          {
            name: 'main',
            ports: [
              { name: 'web', containerPort: 8080 },
              { name: 'game', containerPort: 9000, protocol: 'UDP' },
            ],
          },
        ],
      },
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
    };
    writeFileSync(join(this.directory, 'new.json'), JSON.stringify(pod, null, 2));
    renameSync(join(this.directory, 'new.json'), join(this.pods, `${name}.json`));
  }

  withdraw(name: string): void {
    rmSync(join(this.pods, `${name}.json`));
  }

  get agentArguments(): readonly string[] {
    return [
      'agent',
      '--pods',
      `dir:${this.pods}`,
      '--state-dir',
      join(this.directory, 'state'),
      '--socket',
      this.socket,
      '--node-name',
      'demo',
      '--log-format',
      'text',
    ];
  }

  /** The agent writes its log to agent.log in the scene's directory. */
  startAgent(log: number): ChildProcess {
    return this.node.node(CLI, this.agentArguments, { stdio: ['ignore', log, log] });
  }

  async berth(...args: readonly string[]): Promise<string> {
    const { stdout } = await run(process.execPath, [CLI, ...args, '--socket', this.socket]);
    return stdout;
  }

  /**
   * Does something, and resolves to the time (of `performance.now`) at which a port was announced with this address in the pod
   * for the first time. Rejects when that takes over 10 s.
   */
  async announcement(name: string, target: string, action: () => void): Promise<number> {
    const args = [CLI, 'watch', '--output', 'json', '--socket', this.socket];
    const watch = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const timer = setTimeout(() => watch.kill(), 10_000);
    try {
      for await (const line of createInterface(watch.stdout)) {
        const { event, mapping }: WatchLine = JSON.parse(line);
        // What is live already was told.
        if (event === 'synced') action();
        else if (mapping?.name === name && mapping.podIPs.some((ip) => `${ip}:${mapping.containerPort}` === target))
          return performance.now();
      }
    } finally {
      clearTimeout(timer);
      watch.kill();
    }
    throw new Error(`port ${name} was not announced at ${target} within 10 s`);
  }

  /** The answer of one HTTP request from the client. Rejects when the connection is refused or takes over 3 s. */
  async curl(port: number, path = '/', from: Namespace = this.client, to = NODE_IP): Promise<string> {
    const { stdout } = await run(
      'ip',
      [
        'netns',
        'exec',
        from.name,
        'curl',
        '-sS',
        '--max-time',
        path === '/' ? '3' : '60',
        `http://${to}:${port}${path}`,
      ],
      {
        maxBuffer: 2 ** 26,
        encoding: 'latin1',
      },
    );
    return stdout;
  }

  udpClient(): UdpClient {
    return new UdpClient(this.client.enter(() => bound()));
  }

  [Symbol.dispose](): void {
    for (const namespace of [...this.#places.values(), this.node, this.client]) namespace[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function bound(): Socket {
  // Binding is synchronous only with an address: the socket belongs to the namespace in which it is made.
  const socket = createSocket({ type: 'udp4', lookup: (name, _options, callback) => callback(null, name, 4) });
  socket.bind(0, CLIENT_IP);
  return socket;
}

/** One UDP socket, and so one tracked flow, for its whole life. */
export class UdpClient implements Disposable {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Sends once and resolves to the answer. Rejects after `ms`. */
  ask(port: number, text: string, ms = 2_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#socket.off('message', heard);
        reject(new Error(`no answer over UDP within ${ms} ms`));
      }, ms);
      const heard = (message: Buffer) => {
        clearTimeout(timer);
        resolve(message.toString());
      };
      this.#socket.once('message', heard);
      this.#socket.send(text, port, NODE_IP);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
