import test from 'ava';
import fc from 'fast-check';
import { Ledger, type Wanted } from '../../daemon/core/ledger.ts';
import type { Grant } from '../../daemon/core/state.ts';
import type { Protocol } from '../../daemon/core/vocabulary.ts';
import { grantOf, poolOf, ref, wants } from './grants.ts';

/** One thing that happens to the ledger. */
type Step =
  /** A pod asks, and gets the first candidate, if any. */
  | { readonly kind: 'ask'; readonly pod: number; readonly size: number; readonly protocols: readonly Protocol[] }
  /** A grant is forced in, as adoption does: whoever has the numbers leaves. */
  | { readonly kind: 'force'; readonly pod: number; readonly size: number; readonly hostPort: number }
  | { readonly kind: 'revoke'; readonly which: number }
  | { readonly kind: 'pass'; readonly ms: number };

const pod = fc.integer({ min: 0, max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      pod,
      size: fc.integer({ min: 1, max: 4 }),
      protocols: fc.constantFrom<readonly Protocol[]>(['TCP'], ['UDP'], ['TCP', 'UDP'], ['SCTP']),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('force' as const),
      pod,
      size: fc.integer({ min: 1, max: 4 }),
      hostPort: fc.integer({ min: 98, max: 108 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('revoke' as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 1_500 }) }) },
);

/** A ledger with its clock and what a reader of its changes would remember. */
class Book {
  readonly ledger = new Ledger(() => 0.3);
  now = 0;
  /** When each number of a protocol was released last. */
  readonly releasedAt = new Map<string, { readonly at: number; readonly pod: string }>();

  constructor() {
    this.ledger.setPools([poolOf()]);
  }

  get wall(): number {
    return 1_700_000_000_000 + this.now;
  }

  play(one: Step): void {
    switch (one.kind) {
      case 'ask':
        this.#ask(wants(ref(`p${one.pod}`), { size: one.size, protocols: one.protocols }));
        break;
      case 'force':
        this.ledger.grant(grantOf(ref(`p${one.pod}`), one.hostPort, { size: one.size }));
        break;
      case 'revoke':
        this.#revoke([...this.ledger.grants()][one.which]);
        break;
      case 'pass':
        this.now += one.ms;
    }
  }

  #ask(wanted: Wanted): void {
    const [first] = this.ledger.candidates(wanted, this.now, () => false);
    if (first === undefined) return;
    for (const protocol of wanted.protocols) {
      this.ledger.grant(grantOf(wanted.pod, first, { size: wanted.size, protocol, name: `n${first}` }));
    }
  }

  #revoke(grant: Grant | undefined): void {
    if (grant === undefined) return;
    for (const key of numbersOf(grant)) {
      if (holderOf(this.ledger, key) === grant) this.releasedAt.set(key, { at: this.now, pod: grant.pod });
    }
    this.ledger.revoke(grant, this.now, this.wall);
  }
}

function numbersOf({ protocol, hostPort, size }: Grant): readonly string[] {
  return Array.from({ length: size }, (_, index) => `${protocol}/${hostPort + index}`);
}

function holderOf(ledger: Ledger, key: string): Grant | undefined {
  const [protocol = '', number = ''] = key.split('/');
  return ledger.holder(protocol as Protocol, Number(number));
}

/** Plays the steps and lets `check` look after each. */
function always(t: { pass(): void }, check: (book: Book, step: Step) => boolean): void {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const book = new Book();
      return steps.every((one) => {
        book.play(one);
        return check(book, one);
      });
    }),
    { numRuns: 300 },
  );
  t.pass();
}

test('I1: no sequence of grants and revocations gives a number to two pods', (t) => {
  always(t, ({ ledger }) => {
    const present = [...ledger.grants()].filter((grant) => !ledger.isLeaving(grant)).flatMap(numbersOf);
    return new Set(present).size === present.length;
  });
});

test('I1: every present grant holds all of its numbers, every leaving one at least one', (t) => {
  always(t, ({ ledger }) =>
    [...ledger.grants()].every((grant) => {
      const held = numbersOf(grant).filter((key) => holderOf(ledger, key) === grant).length;
      return ledger.isLeaving(grant) ? held > 0 : held === grant.size;
    }),
  );
});

test('I7: no candidate has a holder or rests, but for a pod of the name that released it', (t) => {
  const asking = wants(ref('p0', 'uid-new'), { protocols: ['TCP', 'UDP'], size: 2 });
  always(t, ({ ledger, now, releasedAt }) =>
    [...ledger.candidates(asking, now, () => false)].every((first) =>
      [first, first + 1]
        .flatMap((number) => [`TCP/${number}`, `UDP/${number}`])
        .every((key) => {
          const released = releasedAt.get(key);
          const rests = released !== undefined && released.pod !== 'p0' && now - released.at < 1_000;
          return holderOf(ledger, key) === undefined && !rests;
        }),
    ),
  );
});

test('a block’s numbers are contiguous and lie in the pool', (t) => {
  const asking = wants(ref('p9'), { size: 4 });
  always(t, ({ ledger, now }) =>
    [...ledger.candidates(asking, now, () => false)].every((first) => first >= 100 && first + 3 <= 109),
  );
});

test('I7: of the free numbers the least recently used comes first, and all of them come', (t) => {
  const pool = poolOf({ quarantineMs: 0 });
  const uses = fc.array(fc.integer({ min: 100, max: 109 }), { maxLength: 40 });
  fc.assert(
    fc.property(uses, (numbers) => {
      const ledger = new Ledger(() => 0);
      ledger.setPools([pool]);
      const lastUse = new Map<number, number>();
      for (const [index, number] of numbers.entries()) {
        const grant = grantOf(ref(`p${index}`), number);
        ledger.grant(grant);
        ledger.revoke(grant, index, index);
        lastUse.set(number, index);
      }
      const order = [...ledger.candidates(wants(ref('q'), { pool }), 100, () => false)];
      const uses = order.map((number) => lastUse.get(number) ?? -1);
      t.is(new Set(order).size, 10);
      t.deepEqual(
        uses,
        uses.toSorted((one, other) => one - other),
      );
    }),
    { numRuns: 200 },
  );
});

test('the snapshot holds what a new ledger needs to say the same of every number', (t) => {
  always(t, ({ ledger, now, wall }) => {
    const { grants, resting } = ledger.snapshot();
    const next = new Ledger(() => 0.3);
    next.setPools([poolOf()]);
    next.restoreResting(resting, 50, wall);
    const leaving = grants.filter((grant) => ledger.isLeaving(grant));
    for (const grant of leaving) next.retain(grant);
    for (const grant of grants) if (!leaving.includes(grant)) next.grant(grant);
    // A leaving grant is written down as a whole, also what it has lost: that is held a little longer.
    const lost = new Set(leaving.flatMap(numbersOf).filter((key) => !leaving.includes(holderOf(ledger, key) as Grant)));
    const numbers = Array.from({ length: 10 }, (_, index) => 100 + index).filter(
      (number) => !lost.has(`TCP/${number}`),
    );
    return numbers.every(
      (number) =>
        next.holder('TCP', number)?.uid === ledger.holder('TCP', number)?.uid &&
        next.usable(wants(ref('p9')), number, 50, () => false) ===
          ledger.usable(wants(ref('p9')), number, now, () => false),
    );
  });
});

test('I7: whatever the wall clock does over a restart, a rest is never longer than the quarantine', (t) => {
  const jump = fc.integer({ min: -10_000_000, max: 10_000_000 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 100, max: 109 }), jump), { maxLength: 12 }),
      jump,
      (given, wall) => {
        const ledger = new Ledger(() => 0);
        ledger.setPools([poolOf()]);
        const entries = given.map(([hostPort, releasedAt], index) => {
          const { namespace, name } = ref(`p${index}`);
          const port = { name: 'web', protocol: 'TCP', pool: 'default', hostPort, size: 1 } as const;
          return { namespace, pod: name, ...port, releasedAt };
        });
        ledger.restoreResting(entries, 7, wall);
        t.is([...ledger.candidates(wants(ref('q')), 1_007, () => false)].length, 10);
        const end = ledger.nextRestEnd(poolOf(), 7);
        t.true(end === undefined || (end > 7 && end <= 1_007));
      },
    ),
    { numRuns: 200 },
  );
});
