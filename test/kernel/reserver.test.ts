import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { Reservation } from '../../daemon/core/vocabulary.ts';
import { SocketReserver } from '../../daemon/reserve/reserver.ts';
import { Namespace, until } from './namespace.ts';
import { OtherProcess } from './otherprocess.ts';

const SCENARIO = fileURLToPath(new URL('reserver.scenario.ts', import.meta.url));

const node = Namespace.create('reserver');
node.address('lo', 'fd00::7/128');
node.stay();
const other = new OtherProcess();
test.after.always(async () => {
  await other[Symbol.asyncDispose]();
  node[Symbol.dispose]();
});

/** Every test has numbers of its own. */
let next = 20_000;
function freshPort(): number {
  return next++;
}

const OPTIONS = [{}, { reuseAddr: true }, { reusePort: true }, { reuseAddr: true, reusePort: true }] as const;
const EVERYWHERE = ['0.0.0.0', '127.0.0.1', '::', '::1', 'fd00::7'] as const;

for (const protocol of ['TCP', 'UDP'] as const) {
  test.serial(
    `no other process can bind or listen on a held ${protocol} port, on any address, with any option`,
    async (t) => {
      using reserver = new SocketReserver();
      const port = freshPort();
      t.deepEqual(reserver.reserve({ protocol, port }), { kind: 'held' });
      for (const address of EVERYWHERE) {
        for (const options of OPTIONS) {
          const wish = { protocol, address, port, listen: protocol === 'TCP', ...options };
          t.deepEqual(await other.try(wish), { refused: 'EADDRINUSE' }, JSON.stringify(wish));
        }
      }
    },
  );

  test.serial(
    `a ${protocol} port that another process bound, on any address and with any option, is taken; then it is free`,
    async (t) => {
      using reserver = new SocketReserver();
      const port = freshPort();
      for (const address of EVERYWHERE) {
        for (const options of OPTIONS) {
          const wish = { protocol, address, port, keep: true, ...options };
          t.deepEqual(await other.try(wish), { got: port });
          t.deepEqual(reserver.reserve({ protocol, port }), { kind: 'taken' }, JSON.stringify(wish));
          t.is(reserver.count, 0);
          await other.drop();
          t.deepEqual(reserver.reserve({ protocol, port }), { kind: 'held' }, JSON.stringify(wish));
          reserver.release({ protocol, port });
        }
      }
    },
  );

  test.serial(`I7: a released ${protocol} port is free at once, however often`, async (t) => {
    using reserver = new SocketReserver();
    const port = freshPort();
    for (let round = 0; round < 50; round++) {
      t.is(reserver.reserve({ protocol, port }).kind, 'held');
      reserver.release({ protocol, port });
      t.deepEqual(await other.try({ protocol, address: '::', port, listen: protocol === 'TCP' }), { got: port });
    }
  });

  test.serial(`a ${protocol} port that is held on one address stays free on the others`, async (t) => {
    using reserver = new SocketReserver();
    for (const [hostIP, elsewhere] of [
      ['127.0.0.2', '127.0.0.1'],
      ['fd00::7', '::1'],
    ] as const) {
      const port = freshPort();
      t.deepEqual(reserver.reserve({ protocol, port, hostIP }), { kind: 'held' });
      t.deepEqual(await other.try({ protocol, address: hostIP, port, reuseAddr: true }), { refused: 'EADDRINUSE' });
      t.deepEqual(await other.try({ protocol, address: '::', port, reuseAddr: true }), { refused: 'EADDRINUSE' });
      t.deepEqual(await other.try({ protocol, address: elsewhere, port, listen: protocol === 'TCP' }), { got: port });
    }
  });

  test.serial(`the kernel never picks a held ${protocol} port as an ephemeral one`, async (t) => {
    using reserver = new SocketReserver();
    const range = node.sysctl('net.ipv4.ip_local_port_range');
    node.sysctl('net.ipv4.ip_local_port_range', '50000 50003');
    t.teardown(() => node.sysctl('net.ipv4.ip_local_port_range', range));
    for (const port of [50_000, 50_001, 50_003]) t.is(reserver.reserve({ protocol, port }).kind, 'held');

    for (const address of ['127.0.0.1', '::1']) {
      t.deepEqual(await other.try({ protocol, address, port: 0 }), { got: 50_002 }, 'bind to 0');
      t.is(await localPort(protocol, address), 50_002, 'connect');
    }
  });
}

/** The port that connect(2) chooses for a client of this namespace. */
async function localPort(protocol: 'TCP' | 'UDP', address: string): Promise<number> {
  if (protocol === 'UDP') {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.connect(9, address);
    await once(socket, 'connect');
    const { port } = socket.address();
    await new Promise<void>((resolve) => socket.close(resolve));
    return port;
  }
  using server = stoppable(createServer((socket) => socket.destroy()).listen(9, address));
  await once(server.inner, 'listening');
  const client = connect(9, address);
  await once(client, 'connect');
  const port = client.localPort ?? 0;
  // A reset leaves no TIME_WAIT behind, which would keep the only free number.
  client.resetAndDestroy();
  await once(client, 'close');
  return port;
}

function stoppable<T extends { close(): unknown }>(inner: T): Disposable & { readonly inner: T } {
  return { inner, [Symbol.dispose]: () => inner.close() };
}

test.serial('one socket holds IPv4 and IPv6 also where the node says net.ipv6.bindv6only=1', async (t) => {
  using reserver = new SocketReserver();
  node.sysctl('net.ipv6.bindv6only', 1);
  t.teardown(() => node.sysctl('net.ipv6.bindv6only', 0));
  const port = freshPort();
  reserver.reserve({ protocol: 'TCP', port });
  t.is(reserver.sockets, 1);
  t.deepEqual(await other.try({ protocol: 'TCP', address: '127.0.0.1', port }), { refused: 'EADDRINUSE' });
  t.deepEqual(await other.try({ protocol: 'TCP', address: '::1', port }), { refused: 'EADDRINUSE' });
});

test.serial('a server of Node cannot listen on a held port, although libuv sets SO_REUSEADDR', async (t) => {
  using reserver = new SocketReserver();
  const port = freshPort();
  reserver.reserve({ protocol: 'TCP', port });
  for (const host of EVERYWHERE) {
    const server = createServer().listen({ port, host });
    const [error] = await once(server, 'error');
    t.is(error.code, 'EADDRINUSE', host);
  }
});

test.serial('a TCP client of a held port without a rule is refused at once, over IPv4 and IPv6', async (t) => {
  using reserver = new SocketReserver();
  const port = freshPort();
  reserver.reserve({ protocol: 'TCP', port });
  for (const host of ['127.0.0.1', '::1', 'fd00::7']) {
    const [error] = await once(connect({ port, host }), 'error');
    t.is(error.code, 'ECONNREFUSED', host);
  }
});

test.serial('datagrams to a held UDP port are dropped, not queued, over IPv4 and IPv6', async (t) => {
  using reserver = new SocketReserver();
  const everywhere = freshPort();
  const four = freshPort();
  reserver.reserve({ protocol: 'UDP', port: everywhere });
  reserver.reserve({ protocol: 'UDP', port: four, hostIP: '127.0.0.2' });

  await sendDatagrams('udp4', '127.0.0.1', everywhere, 50);
  await sendDatagrams('udp6', '::1', everywhere, 50);
  await sendDatagrams('udp4', '127.0.0.2', four, 50);

  await until(() => queueOf('udp6', everywhere).drops === 100, 'all datagrams were dropped');
  await until(() => queueOf('udp', four).drops === 50, 'all datagrams were dropped');
  t.is(queueOf('udp6', everywhere).queued, 0);
  t.is(queueOf('udp', four).queued, 0);
});

async function sendDatagrams(type: 'udp4' | 'udp6', address: string, port: number, count: number): Promise<void> {
  const socket = createSocket(type);
  const sent = Array.from({ length: count }, () => {
    return new Promise<void>((resolve, reject) => {
      socket.send('x'.repeat(1000), port, address, (error) => (error === null ? resolve() : reject(error)));
    });
  });
  await Promise.all(sent);
  await new Promise<void>((resolve) => socket.close(resolve));
}

/** The receive queue in bytes and the dropped datagrams of the one socket on this port (proc(5), /proc/net/udp). */
function queueOf(table: 'udp' | 'udp6', port: number): { readonly queued: number; readonly drops: number } {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = readFileSync(`/proc/thread-self/net/${table}`, 'latin1').split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/)).filter(([, local]) => local?.endsWith(`:${hex}`));
  const [only] = fields;
  if (only === undefined || fields.length !== 1)
    throw new Error(`${fields.length} sockets on port ${port} in ${table}`);
  return { queued: Number.parseInt(only[4]?.split(':')[1] ?? '', 16), drops: Number(only.at(-1)) };
}

test.serial('an address that the node lacks is unavailable, and heals when the node gets it', (t) => {
  using reserver = new SocketReserver();
  for (const [hostIP, length] of [
    ['192.0.2.7', 32],
    ['2001:db8::7', 128],
  ] as const) {
    const reservation = { protocol: 'TCP', port: freshPort(), hostIP } as const;
    const outcome = reserver.reserve(reservation);
    t.is(outcome.kind, 'unavailable');
    t.regex(outcome.kind === 'unavailable' ? outcome.why : '', new RegExp(`the node has no address ${hostIP}`));
    node.address('lo', `${hostIP}/${length}`);
    t.deepEqual(reserver.reserve(reservation), { kind: 'held' });
    t.deepEqual(reserver.held(), [reservation]);
    reserver.release(reservation);
  }
});

test.serial('what is no address is unavailable', (t) => {
  using reserver = new SocketReserver();
  for (const hostIP of ['localhost', '1.2.3', '127.0.0.1 ', 'fe80::1%lo', ':::', '\u0000']) {
    const outcome = reserver.reserve({ protocol: 'UDP', port: freshPort(), hostIP });
    t.is(outcome.kind, 'unavailable', hostIP);
  }
  t.is(reserver.count, 0);
});

test.serial('an attempt that fails leaves no descriptor open, and disposing closes all of them', (t) => {
  const count = () => readdirSync('/proc/self/fd').length;
  const before = count();
  {
    using reserver = new SocketReserver();
    using rival = new SocketReserver();
    for (let port = 60_000; port < 60_050; port++) rival.reserve({ protocol: 'TCP', port });
    t.is(count(), before + 50);
    for (let port = 60_000; port < 60_050; port++) {
      t.is(reserver.reserve({ protocol: 'TCP', port }).kind, 'taken');
      t.is(reserver.reserve({ protocol: 'TCP', port, hostIP: '192.0.2.99' }).kind, 'unavailable');
    }
    t.is(count(), before + 50);
  }
  t.is(count(), before);
});

test.serial('a child process does not inherit a reservation', async (t) => {
  using reserver = new SocketReserver();
  const port = freshPort();
  reserver.reserve({ protocol: 'TCP', port });
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');

  reserver.release({ protocol: 'TCP', port });

  t.deepEqual(await other.try({ protocol: 'TCP', address: '::', port, listen: true }), { got: port });
});

test.serial('no SCTP number opens a socket', (t) => {
  using reserver = new SocketReserver();
  const before = readdirSync('/proc/self/fd').length;
  t.is(reserver.reserve({ protocol: 'SCTP', port: freshPort() }).kind, 'held');
  t.is(reserver.count, 1);
  t.is(reserver.sockets, 0);
  t.is(readdirSync('/proc/self/fd').length, before);
});

function scene(name: string, wrapper: readonly string[] = []): Record<string, unknown> {
  const [program = process.execPath, ...args] = [...wrapper, process.execPath, SCENARIO, name];
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8' }));
}

test.serial('fd limit reached: the port is unavailable with the remedy, and heals when a descriptor is free', (t) => {
  const { held, outcome, healed } = scene('descriptors', ['prlimit', '--nofile=100:100']);
  t.true((held as number) > 10);
  t.regex(JSON.stringify(outcome), /"unavailable".*no file descriptor left: raise .*LimitNOFILE/);
  t.deepEqual(healed, { kind: 'held' });
});

test.serial('too few descriptors for the pools: the soft limit is raised, or the warning names the remedy', (t) => {
  const { enough, raised, after, tooLow } = scene('limits', ['prlimit', '--nofile=1000:4000']);
  t.is(enough, undefined);
  t.is(raised, undefined);
  t.deepEqual(after, { soft: 4000, hard: 4000 });
  t.regex(String(tooLow), /may open 4000 files, 10000 host ports need 11024: only about 2976 .*LimitNOFILE=/);
});

test.serial('a port below 1024 without NET_BIND_SERVICE is unavailable and says so', (t) => {
  const { low, high } = scene('privileged', ['setpriv', '--bounding-set=-net_bind_service']);
  t.regex(JSON.stringify(low), /"unavailable".*NET_BIND_SERVICE/);
  t.deepEqual(high, { kind: 'held' });
});

test.serial('without IPv6 in the kernel ports are held on IPv4', (t) => {
  const { tcp, udp, six, other: second } = scene('withoutIPv6', ['unshare', '-n']);
  t.deepEqual(tcp, { kind: 'held' });
  t.deepEqual(udp, { kind: 'held' });
  t.deepEqual(second, { kind: 'taken' });
  t.regex(JSON.stringify(six), /"unavailable".*IPv6 is off/);
});

test.serial('in a namespace with IPv6 disabled ports are held, and come and go as elsewhere', async (t) => {
  using off = Namespace.create('noipv6');
  for (const device of ['all', 'default', 'lo']) off.sysctl(`net.ipv6.conf.${device}.disable_ipv6`, 1);
  await using rival = off.enter(() => new OtherProcess());
  using reserver = new SocketReserver();
  for (const protocol of ['TCP', 'UDP'] as const) {
    const reservation: Reservation = { protocol, port: 20_000 };
    t.deepEqual(
      off.enter(() => reserver.reserve(reservation)),
      { kind: 'held' },
    );
    t.deepEqual(await rival.try({ protocol, address: '127.0.0.1', port: 20_000 }), { refused: 'EADDRINUSE' });
    reserver.release(reservation);
    t.deepEqual(await rival.try({ protocol, address: '127.0.0.1', port: 20_000 }), { got: 20_000 });
  }
});

test.serial('10,000 ports are held at once', (t) => {
  const { held, ms, releaseMs, residentKB, ownKB } = scene('cost');
  t.is(held, 10_000);
  t.log(`held in ${Math.round(Number(ms))} ms, released in ${Math.round(Number(releaseMs))} ms`);
  t.log(`${residentKB} KB of RSS, ${ownKB} KB of them the process's own`);
});
