import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Reservation } from '../../daemon/core/vocabulary.ts';
import { close } from '../../daemon/native/libc.ts';
import type { Reserver } from '../../daemon/reconcile/ports.ts';
import { ReserverDouble } from '../../daemon/reserve/reserver.double.ts';
import { SocketReserver } from '../../daemon/reserve/reserver.ts';
import { holdNumber } from '../../daemon/reserve/socket.ts';
import { Namespace } from '../kernel/namespace.ts';

const OWN = ['127.0.0.1', '127.0.0.2', '::1', 'fd00::7'];
const ABSENT = '192.0.2.99';

const node = Namespace.create('contract');
node.address('lo', 'fd00::7/128');
node.stay();
test.after.always(() => node[Symbol.dispose]());

/** A reserver and the other processes of its node. */
interface Bench extends Disposable {
  readonly reserver: Reserver & { readonly count: number };
  occupy(reservation: Reservation): boolean;
  vacate(reservation: Reservation): void;
}

function double(limit?: number): Bench {
  const reserver = new ReserverDouble({ addresses: OWN, ...(limit === undefined ? {} : { limit }) });
  return {
    reserver,
    occupy: (reservation) => reserver.occupy(reservation),
    vacate: (reservation) => reserver.vacate(reservation),
    [Symbol.dispose]: () => reserver[Symbol.dispose](),
  };
}

/** The other process lives in this one: the kernel does not ask whom a socket belongs to. */
function kernel(limit?: number): Bench {
  const reserver = new SocketReserver(limit === undefined ? {} : { limit });
  const foreign = new Map<string, number>();
  const key = ({ protocol, port, hostIP = '' }: Reservation) => `${protocol} ${port} ${hostIP}`;
  return {
    reserver,
    occupy(reservation) {
      const { protocol, port, hostIP = '' } = reservation;
      const held = protocol === 'SCTP' ? undefined : holdNumber(protocol, port, hostIP);
      if (held?.kind !== 'bound') return false;
      foreign.set(key(reservation), held.descriptor);
      return true;
    },
    vacate(reservation) {
      const descriptor = foreign.get(key(reservation));
      if (descriptor !== undefined) close(descriptor);
      foreign.delete(key(reservation));
    },
    [Symbol.dispose]() {
      reserver[Symbol.dispose]();
      for (const descriptor of foreign.values()) close(descriptor);
    },
  };
}

const contract: readonly (readonly [string, (t: ExecutionContext, start: (limit?: number) => Bench) => void])[] = [
  [
    'what is held is held again, and listed once',
    (t, start) => {
      using bench = start();
      const { reserver } = bench;
      const reservation = { protocol: 'TCP', port: 20_000 } as const;
      t.deepEqual(reserver.reserve(reservation), { kind: 'held' });
      t.deepEqual(reserver.reserve({ ...reservation }), { kind: 'held' });
      t.deepEqual(reserver.held(), [reservation]);
      t.is(reserver.count, 1);
    },
  ],
  [
    'releasing twice, or what was never held, is no error',
    (t, start) => {
      using bench = start();
      const { reserver } = bench;
      const reservation = { protocol: 'UDP', port: 20_000 } as const;
      reserver.release(reservation);
      reserver.reserve(reservation);
      reserver.release(reservation);
      reserver.release(reservation);
      t.deepEqual(reserver.held(), []);
      t.is(reserver.count, 0);
      t.deepEqual(reserver.reserve(reservation), { kind: 'held' });
    },
  ],
  [
    'one number is held for TCP, UDP and SCTP side by side',
    (t, start) => {
      using bench = start();
      for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
        t.deepEqual(bench.reserver.reserve({ protocol, port: 20_000 }), { kind: 'held' });
      }
      t.is(bench.reserver.count, 3);
    },
  ],
  [
    'I1: any address conflicts with every address, in either order; different addresses do not',
    (t, start) => {
      for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
        using bench = start();
        const { reserver } = bench;
        const any: Reservation = { protocol, port: 20_000 };
        for (const hostIP of OWN) t.deepEqual(reserver.reserve({ ...any, hostIP }), { kind: 'held' });
        t.deepEqual(reserver.reserve(any), { kind: 'taken' });
        t.is(reserver.count, OWN.length);

        for (const hostIP of OWN) reserver.release({ ...any, hostIP });
        t.deepEqual(reserver.reserve(any), { kind: 'held' });
        for (const hostIP of OWN) t.deepEqual(reserver.reserve({ ...any, hostIP }), { kind: 'taken' });
        t.deepEqual(reserver.held(), [any]);
      }
    },
  ],
  [
    'a wildcard as the address is any address',
    (t, start) => {
      using bench = start();
      bench.reserver.reserve({ protocol: 'TCP', port: 20_000, hostIP: '0.0.0.0' });
      t.deepEqual(bench.reserver.reserve({ protocol: 'TCP', port: 20_000 }), { kind: 'held' });
      t.is(bench.reserver.count, 1);
      bench.reserver.release({ protocol: 'TCP', port: 20_000, hostIP: '::' });
      t.is(bench.reserver.count, 0);
    },
  ],
  [
    "another process's number is taken until that process gives it back, and no process gets a held one",
    (t, start) => {
      using bench = start();
      for (const protocol of ['TCP', 'UDP'] as const) {
        const reservation: Reservation = { protocol, port: 20_000 };
        const foreign: Reservation = { ...reservation, hostIP: '127.0.0.1' };
        t.true(bench.occupy(foreign));
        t.deepEqual(bench.reserver.reserve(reservation), { kind: 'taken' });
        t.is(bench.reserver.count, protocol === 'TCP' ? 0 : 1);
        bench.vacate(foreign);
        t.deepEqual(bench.reserver.reserve(reservation), { kind: 'held' });
        t.false(bench.occupy(foreign));
      }
    },
  ],
  [
    'V23: what is no port number is unavailable, and nothing is held',
    (t, start) => {
      using bench = start();
      for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
        for (const port of [0, -1, 65_536, 85_536, 100_000, 1.5, Number.NaN]) {
          const why = `${port} is not a port from 1 to 65535`;
          t.deepEqual(bench.reserver.reserve({ protocol, port }), { kind: 'unavailable', why });
        }
      }
      t.is(bench.reserver.count, 0);
    },
  ],
  [
    'an address that the node lacks is unavailable and the reason names it',
    (t, start) => {
      using bench = start();
      const outcome = bench.reserver.reserve({ protocol: 'TCP', port: 20_000, hostIP: ABSENT });
      t.deepEqual(outcome, { kind: 'unavailable', why: `the node has no address ${ABSENT} at present` });
      t.deepEqual(bench.reserver.held(), []);
    },
  ],
  [
    'I10: beyond the limit of sockets a number is unavailable, until one is released; SCTP needs no socket',
    (t, start) => {
      using bench = start(2);
      const { reserver } = bench;
      reserver.reserve({ protocol: 'TCP', port: 20_000 });
      reserver.reserve({ protocol: 'UDP', port: 20_001 });
      t.deepEqual(reserver.reserve({ protocol: 'TCP', port: 20_002 }), {
        kind: 'unavailable',
        why: 'the agent holds 2 host ports, its limit is 2: use smaller pools',
      });
      t.deepEqual(reserver.reserve({ protocol: 'TCP', port: 20_000 }), { kind: 'held' });
      t.deepEqual(reserver.reserve({ protocol: 'SCTP', port: 20_002 }), { kind: 'held' });
      reserver.release({ protocol: 'UDP', port: 20_001 });
      t.deepEqual(reserver.reserve({ protocol: 'TCP', port: 20_002 }), { kind: 'held' });
    },
  ],
];

for (const [title, run] of contract) {
  test.serial(`double: ${title}`, (t) => run(t, double));
  test.serial(`kernel: ${title}`, (t) => run(t, kernel));
}

test.serial('the double answers as the kernel does, whatever is asked in whatever order', (t) => {
  const reservation = fc.record(
    {
      protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
      port: fc.integer({ min: 20_000, max: 20_001 }),
      hostIP: fc.constantFrom(...OWN, ABSENT),
    },
    { requiredKeys: ['protocol', 'port'] },
  ) satisfies fc.Arbitrary<Reservation>;
  const step = fc.tuple(fc.constantFrom('reserve', 'reserve', 'release', 'occupy', 'vacate'), reservation);
  const apply = (bench: Bench, [what, which]: readonly [string, Reservation]): unknown => {
    if (what === 'reserve') return bench.reserver.reserve(which);
    if (what === 'release') return bench.reserver.release(which);
    // Only sockets are seen by others, and nobody binds an address that the node lacks.
    if (which.protocol === 'SCTP' || which.hostIP === ABSENT) return undefined;
    return what === 'occupy' ? bench.occupy(which) : bench.vacate(which);
  };
  const sorted = (bench: Bench) =>
    bench.reserver
      .held()
      .map((one) => JSON.stringify(one))
      .toSorted();
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      using real = kernel();
      using fake = double();
      for (const one of steps) t.deepEqual(apply(fake, one), apply(real, one), JSON.stringify(steps));
      t.deepEqual(sorted(fake), sorted(real));
    }),
    { numRuns: 300 },
  );
});
