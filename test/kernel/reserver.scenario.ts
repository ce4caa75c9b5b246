/** Scenes for the reserver that need a process of their own; the first argument names one, the result is a line of JSON. */
import { readFileSync } from 'node:fs';
import { check, getrlimit, libcFunction, loadKoffi, setrlimit } from '../../daemon/native/libc.ts';
import type { ReserveOutcome } from '../../daemon/reconcile/ports.ts';
import { checkDescriptors } from '../../daemon/reserve/descriptors.ts';
import { SocketReserver } from '../../daemon/reserve/reserver.ts';

const scenes = {
  /** Started with few descriptors: takes ports until there is none left, gives one back, takes one. */
  descriptors() {
    using reserver = new SocketReserver();
    let outcome: ReserveOutcome = { kind: 'held' };
    let port = 20_000;
    while (outcome.kind === 'held') outcome = reserver.reserve({ protocol: 'TCP', port: port++ });
    const held = reserver.count;
    reserver.release({ protocol: 'TCP', port: 20_000 });
    return { held, outcome, healed: reserver.reserve({ protocol: 'UDP', port: 30_000 }) };
  },

  /** The hard limit is 4,000. */
  limits() {
    const enough = checkDescriptors(2000);
    setrlimit(7, { soft: 512, hard: 4000 });
    const raised = checkDescriptors(2000);
    const after = getrlimit(7);
    return { enough, raised, after, tooLow: checkDescriptors(10_000) };
  },

  /** Started without NET_BIND_SERVICE. */
  privileged() {
    using reserver = new SocketReserver();
    return {
      low: reserver.reserve({ protocol: 'TCP', port: 443 }),
      high: reserver.reserve({ protocol: 'TCP', port: 8443 }),
    };
  },

  /** As in a kernel with `ipv6.disable=1`: socket(AF_INET6) answers EAFNOSUPPORT. */
  withoutIPv6() {
    refuseIPv6();
    using reserver = new SocketReserver();
    using other = new SocketReserver();
    return {
      tcp: reserver.reserve({ protocol: 'TCP', port: 20_000 }),
      udp: reserver.reserve({ protocol: 'UDP', port: 20_000 }),
      six: reserver.reserve({ protocol: 'TCP', port: 20_000, hostIP: '::1' }),
      other: other.reserve({ protocol: 'TCP', port: 20_000, hostIP: '127.0.0.1' }),
    };
  },

  /** What 10,000 reservations cost, half of them UDP, in a process that has warmed up. */
  cost() {
    using reserver = new SocketReserver();
    const reservations = Array.from(
      { length: 10_000 },
      (_, index) => ({ protocol: index % 2 === 0 ? 'TCP' : 'UDP', port: 20_000 + index }) as const,
    );
    for (const one of reservations.slice(0, 1000)) reserver.reserve(one);
    for (const one of reserver.held()) reserver.release(one);
    const before = memory();
    const start = performance.now();
    for (const one of reservations) reserver.reserve(one);
    const ms = performance.now() - start;
    const after = memory();
    const held = reserver.count;
    const released = performance.now();
    for (const one of reservations) reserver.release(one);
    const releaseMs = performance.now() - released;
    return { held, ms, releaseMs, residentKB: after.resident - before.resident, ownKB: after.own - before.own };
  },
};

/** In KB; `own` leaves out the pages of Node's own program text, which are read from its file on first use. */
function memory(): { readonly resident: number; readonly own: number } {
  const status = readFileSync('/proc/self/status', 'latin1');
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]);
  return { resident: field('VmRSS'), own: field('RssAnon') };
}

/** A seccomp filter on this thread: socket(2) with AF_INET6 fails, everything else is allowed (linux/filter.h). */
function refuseIPv6(): void {
  const prctl = libcFunction<(option: number, a: number, b: Uint8Array | null, c: number, d: number) => number>(
    'int prctl(int, unsigned long, void *, unsigned long, unsigned long)',
  );
  const AF_INET6 = 10;
  const EAFNOSUPPORT = 97;
  const callNumber = process.arch === 'x64' ? 41 : 198;
  const program: readonly (readonly [code: number, ifTrue: number, ifFalse: number, k: number])[] = [
    [0x20, 0, 0, 0], // load the number of the call
    [0x15, 0, 3, callNumber],
    [0x20, 0, 0, 16], // load its first argument
    [0x15, 0, 1, AF_INET6],
    [0x06, 0, 0, 0x00050000 | EAFNOSUPPORT],
    [0x06, 0, 0, 0x7fff0000],
  ];
  const koffi = loadKoffi();
  const memory = koffi.alloc('uint64_t', program.length);
  const view = new DataView(koffi.view(memory, program.length * 8));
  for (const [index, [code, ifTrue, ifFalse, k]] of program.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setUint32(index * 8 + 4, k, true);
  }
  const fprog = new BigUint64Array([BigInt(program.length), BigInt(koffi.address(memory))]);
  check('PR_SET_NO_NEW_PRIVS', prctl()(38, 1, null, 0, 0));
  check('PR_SET_SECCOMP', prctl()(22, 2, new Uint8Array(fprog.buffer), 0, 0));
}

const scene = scenes[process.argv[2] as keyof typeof scenes];
console.log(JSON.stringify(scene()));
