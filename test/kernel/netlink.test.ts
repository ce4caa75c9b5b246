import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import test from 'ava';
import fc from 'fast-check';
import { ForeignChanges } from '../../daemon/datapath/foreignchanges.ts';
import { RulesetGeneration } from '../../daemon/datapath/generation.ts';
import { Table } from '../../daemon/datapath/table.ts';
import {
  AttributeWriter,
  attribute,
  attributes,
  attributeText,
  findAttribute,
} from '../../daemon/native/attributes.ts';
import { SystemError } from '../../daemon/native/errno.ts';
import * as libc from '../../daemon/native/libc.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../../daemon/native/netlink.ts';
import { Namespace } from './namespace.ts';

const AF_INET = 2;
const SOCK_STREAM = 1;
const RLIMIT_NOFILE = 7;
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const IFLA_IFNAME = 3;
const IFINFOMSG = 16;
const RTNLGRP_LINK = 1;

function loopbackAddress(port: number): Uint8Array {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  return address;
}

function name({ body }: { readonly body: Buffer }): string {
  return attributeText(attribute(body, IFLA_IFNAME, IFINFOMSG) ?? Buffer.alloc(0));
}

test('importing the adapters loads no native code: only the first call does', (t) => {
  const script = `
    const native = () => process.report.getReport().sharedObjects.some((path) => path.includes('koffi'));
    await import(${JSON.stringify(new URL('../../daemon/datapath/flows.ts', import.meta.url).href)});
    await import(${JSON.stringify(new URL('../../daemon/datapath/network.ts', import.meta.url).href)});
    const libc = await import(${JSON.stringify(new URL('../../daemon/native/libc.ts', import.meta.url).href)});
    const before = native();
    libc.getrlimit(7);
    console.log(before, native());`;
  const args = ['--input-type=module', '-e', script];
  t.is(execFileSync(process.execPath, args, { encoding: 'utf8' }).trim(), 'false true');
});

test('a system call that fails throws SYSCALL_FAILED with the call, the name and the number', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  const fd = libc.socket(AF_INET, SOCK_STREAM, 0);
  try {
    const error = t.throws(() => libc.bind(fd, loopbackAddress(port)), { instanceOf: SystemError });
    t.like(error, { code: 'SYSCALL_FAILED', message: 'bind: EADDRINUSE', errno: 98, errnoName: 'EADDRINUSE' });
    libc.bind(fd, loopbackAddress(0));
    t.deepEqual([...libc.getsockname(fd).subarray(4, 8)], [127, 0, 0, 1]);
  } finally {
    libc.close(fd);
  }
  // Not the one that was closed: its number may be another's by now.
  await t.throwsAsync(libc.recvAsync(-1, new Uint8Array(1)), { message: 'recv: EBADF' });
  await t.throwsAsync(libc.sendAsync(-1, new Uint8Array(1)), { message: 'send: EBADF' });
});

test('a lock is held by one open file at a time, until that is closed', (t) => {
  const folder = mkdtempSync(`${tmpdir()}/berth-flock-`);
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [first, second] = [openSync(`${folder}/lock`, 'w'), openSync(`${folder}/lock`, 'w')];
  t.true(libc.flock(first));
  t.true(libc.flock(first));
  t.false(libc.flock(second));
  closeSync(first);
  t.true(libc.flock(second));
  closeSync(second);
  t.throws(() => libc.flock(second), { message: 'flock: EBADF' });
});

test('a limit is read as it was set', (t) => {
  const before = libc.getrlimit(RLIMIT_NOFILE);
  t.teardown(() => libc.setrlimit(RLIMIT_NOFILE, before));
  libc.setrlimit(RLIMIT_NOFILE, { ...before, soft: before.soft - 1 });
  t.deepEqual(libc.getrlimit(RLIMIT_NOFILE), { ...before, soft: before.soft - 1 });
  t.is(libc.getrlimit(4 /* RLIMIT_CORE */).hard >= 0, true);
});

test.serial('what needs several sockets and gets only some of them leaves none open', (t) => {
  const count = () => readdirSync('/proc/self/fd').length;
  const nft = { run: () => Promise.resolve() };
  const transport = { description: 'none', commit: () => Promise.resolve(true) };
  const changes = () => new ForeignChanges(20);
  const table = () => new Table({ nft, transport });
  // Loaded before descriptors are short.
  changes()[Symbol.dispose]();
  const limit = libc.getrlimit(RLIMIT_NOFILE);
  for (const [what, open, allowed] of [
    ['ForeignChanges', changes, 1],
    ['Table', table, 1],
    ['Table', table, 2],
  ] as const) {
    const before = count();
    // The kernel gives the lowest ones that are free.
    const probes = Array.from({ length: allowed }, () => openSync('/dev/null', 'r'));
    for (const probe of probes) closeSync(probe);
    libc.setrlimit(RLIMIT_NOFILE, { ...limit, soft: Math.max(...probes) + 1 });
    try {
      t.throws(open, { message: /EMFILE/ }, `${what} ${allowed}`);
    } finally {
      libc.setrlimit(RLIMIT_NOFILE, limit);
    }
    t.is(count(), before, `${what} ${allowed}`);
  }
});

test('what the writer wrote the readers find, however large and however nested', (t) => {
  const long = Buffer.alloc(5000, 7);
  const body = new AttributeWriter(Uint8Array.of(9, 9, 9))
    .u8(1, 0xfe)
    .u16(2, 0xfedc)
    .u32(3, 0xfedcba98)
    .be16(4, 0xfedc)
    .be32(5, 0xfedcba98)
    .be64(6, 0xfedcba9876543210n)
    .bytes(7, long)
    .text(8, 'grün')
    .nest(9, (outer) => outer.nest(1, (inner) => inner.u8(2, 5).u8(3, 6)).u8(4, 7))
    .u8(10, 1)
    .body();
  const read = new Map(attributes(body, 4));
  t.deepEqual([...read.keys()], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  t.is(read.get(1)?.[0], 0xfe);
  t.is(read.get(2)?.readUInt16LE(0), 0xfedc);
  t.is(read.get(3)?.readUInt32LE(0), 0xfedcba98);
  t.is(read.get(4)?.readUInt16BE(0), 0xfedc);
  t.is(read.get(5)?.readUInt32BE(0), 0xfedcba98);
  t.is(read.get(6)?.readBigUInt64BE(0), 0xfedcba9876543210n);
  t.true(read.get(7)?.equals(long));
  t.is(attributeText(read.get(8) ?? Buffer.alloc(0)), 'grün');
  const outer = read.get(9) ?? Buffer.alloc(0);
  t.is(attribute(attribute(outer, 1) ?? Buffer.alloc(0), 3)?.[0], 6);
  t.is(attribute(outer, 4)?.[0], 7);
  t.is(attribute(body, 11, 4), undefined);
});

test('the writer grows at any attribute', (t) => {
  const writer = new AttributeWriter();
  for (let round = 0; round < 100; round++) {
    writer
      .u8(1, 1)
      .u16(2, 2)
      .u32(3, 3)
      .be16(4, 4)
      .be32(5, 5)
      .be64(6, 6n)
      .nest(7, (nest) => nest.u8(8, 8));
  }
  const read = [...attributes(writer.body())];
  t.deepEqual(
    read.map(([type]) => type),
    Array.from({ length: 700 }, (_, index) => 1 + (index % 7)),
  );
  t.true(read.every(([type, payload]) => payload.includes(type === 7 ? 8 : type)));
});

test('the readers stay inside any bytes whatsoever', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(20), (bytes, type) => {
      const buffer = Buffer.from(bytes);
      const all = [...attributes(buffer)];
      const found = findAttribute(buffer, type);
      t.true(found <= buffer.length);
      t.is(
        found >= 0,
        all.some(([one]) => one === type),
      );
    }),
  );
});

test('a dump is complete, and the same whether it is read at once or on worker threads', async (t) => {
  using ns = Namespace.create();
  for (let index = 0; index < 40; index++) ns.ip(`link add p${index} type veth peer name q${index}`);
  using socket = ns.enter(() => NetlinkSocket.open(NETLINK_ROUTE));
  const known = (JSON.parse(ns.run('ip', ['-j', 'link'])) as { ifname: string }[]).map(({ ifname }) => ifname);
  const request = new Uint8Array(IFINFOMSG);
  t.deepEqual(socket.dump(RTM_GETLINK, request).map(name), known);
  t.deepEqual((await socket.dumpAsync(RTM_GETLINK, request)).map(name), known);
  const seen: string[] = [];
  t.false(await socket.scan(RTM_GETLINK, request, (message) => seen.push(name(message))));
  t.deepEqual(seen, known);
  t.deepEqual(name(socket.get(RTM_GETLINK, new AttributeWriter(request).text(IFLA_IFNAME, 'p7').body())), 'p7');
});

test('a refusal is NETLINK_FAILED with the name of the reason and the kernel’s own words, and the socket goes on', async (t) => {
  using socket = NetlinkSocket.open(NETLINK_ROUTE);
  const nobody = new AttributeWriter(new Uint8Array(IFINFOMSG)).text(IFLA_IFNAME, 'nobody').body();
  t.like(
    t.throws(() => socket.get(RTM_GETLINK, nobody), { instanceOf: SystemError }),
    {
      code: 'NETLINK_FAILED',
      errnoName: 'ENODEV',
    },
  );
  t.throws(() => socket.command(16 /* RTM_NEWLINK */, 0, new Uint8Array(4)), { message: /EINVAL \(.+\)/ });
  const unknown = 0x7ff0;
  await t.throwsAsync(socket.dumpAsync(unknown, new Uint8Array(4)), { instanceOf: SystemError });
  t.true(socket.dump(RTM_GETADDR, new Uint8Array(8)).length > 0);
});

test('when a visitor throws, the scan rejects with that and the socket can be closed', async (t) => {
  await using socket = NetlinkSocket.open(NETLINK_ROUTE);
  const visit = () => {
    throw new Error('enough');
  };
  await t.throwsAsync(socket.scan(RTM_GETLINK, new Uint8Array(IFINFOMSG), visit), { message: 'enough' });
});

test('a subscriber sees what happens, once, and learns that more happened than it could be told', (t) => {
  using ns = Namespace.create();
  using socket = ns.enter(() => NetlinkSocket.open(NETLINK_ROUTE));
  socket.subscribe(RTNLGRP_LINK);
  t.false(socket.drain(() => t.fail()));
  ns.ip('link add p0 type veth peer name q0');
  const seen = new Set<string>();
  t.false(socket.drain((message) => seen.add(name(message))));
  t.deepEqual([...seen].sort(), ['p0', 'q0']);
  t.false(socket.drain(() => t.fail()));

  const batch = Array.from({ length: 500 }, (_, index) => `link set p0 mtu ${1400 + (index % 2)}`).join('\n');
  ns.run('ip', ['-batch', '-'], batch);
  t.true(socket.drain(() => {}));
  t.false(socket.drain(() => t.fail()));
});

test('the generation of the ruleset changes with each commit, in its own namespace only', (t) => {
  using ns = Namespace.create();
  using other = Namespace.create();
  using generation = ns.enter(() => new RulesetGeneration());
  const before = generation.read();
  t.is(generation.read(), before);
  other.run('/usr/sbin/nft', ['add', 'table', 'inet', 'x']);
  t.is(generation.read(), before);
  ns.run('/usr/sbin/nft', ['list', 'ruleset']);
  t.is(generation.read(), before);
  ns.run('/usr/sbin/nft', ['add', 'table', 'inet', 'x']);
  t.is(generation.read(), before + 1);
});

test('closing twice is harmless, and leaves no descriptor behind', async (t) => {
  const socket = NetlinkSocket.open(NETLINK_NETFILTER);
  await socket[Symbol.asyncDispose]();
  const next = openSync('/dev/null', 'r');
  t.teardown(() => closeSync(next));
  // The number was free again: a second close must not hit its new owner.
  socket[Symbol.dispose]();
  await socket[Symbol.asyncDispose]();
  t.notThrows(() => libc.flock(next));
});
