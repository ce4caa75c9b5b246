/** What somebody else does to the table is put right (I3), and nothing but the table of Berth's own is looked at. */
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import type { Element } from '../../rules/element.ts';
import { Rig, server } from './rig.ts';

const HIJACKED: Element = { set: 'any4', key: 'tcp . 20000', value: '10.6.6.6 . 666', comment: '' };
const STRANGE: Element = { set: 'any4', key: 'tcp . 2222', value: '10.6.6.6 . 22', comment: 'by hand' };

const damages: readonly (readonly [title: string, act: (rig: Rig) => void, healed: object])[] = [
  ['the whole ruleset is flushed', (rig) => rig.ruleset.flush(), { what: 'the table was deleted', removed: 0 }],
  [
    'a rule is deleted',
    (rig) => rig.ruleset.remove(({ set }) => set === 'any4'),
    { what: 'elements', added: 2, removed: 0 },
  ],
  ['a rule is turned to another pod', (rig) => rig.ruleset.put(HIJACKED), { what: 'elements', added: 1, removed: 0 }],
  ['a strange rule is added', (rig) => rig.ruleset.put(STRANGE), { what: 'elements', added: 0, removed: 1 }],
  ['a chain is changed', (rig) => rig.ruleset.damage('chain pre was changed'), { what: 'chain pre was changed' }],
];

for (const [title, act, healed] of damages) {
  test(`I3: ${title}, and all is as before when the agent has heard of it`, async (t) => {
    const rig = new Rig();
    await rig.start();
    await rig.set(server(1), server(2));
    const before = rig.ruleset.elements().map((element) => JSON.stringify(element));

    act(rig);
    await rig.settle();

    t.deepEqual(
      rig.ruleset
        .elements()
        .map((element) => JSON.stringify(element))
        .sort(),
      before.sort(),
    );
    t.is(rig.live().length, 2, 'numbers and announcements stay');
    t.deepEqual(rig.grants(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
    t.is(rig.recorded('healed').length, 1);
    t.like(rig.recorded('healed')[0], healed);
  });
}

test('I3: a change of which no notification came is healed by the full pass, within 66 s', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.ruleset.deaf = true;
  rig.ruleset.flush();
  await rig.settle();
  t.deepEqual(rig.rules(), []);
  await rig.advance(66_000);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
});

test('I4: a change of another program in its own table makes the agent look, and do nothing', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.takeSteps();
  const { reads } = rig.datapath;
  rig.ruleset.touch();
  await rig.settle();
  t.is(rig.datapath.reads, reads + 1);
  t.deepEqual(rig.takeSteps(), []);
});

test('I3: the flows that a foreign rule led astray are cut when it is healed', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const flow = { protocol: 'TCP', source: '198.51.100.1', destination: '192.0.2.10', port: 20_000 } as const;
  const own = { ...flow, sourcePort: 1, replySource: '10.0.0.1', replyPort: 80 };
  rig.flows.flows = [own, { ...flow, sourcePort: 2, replySource: '10.6.6.6', replyPort: 666 }];

  rig.ruleset.put(HIJACKED);
  await rig.settle();

  t.deepEqual(rig.flows.flows, [own]);
});

for (const when of ['before', 'after'] as const) {
  test(`I3: nft fails ${when} its effect, the table is read anew, and the pod is served a moment later`, async (t) => {
    const rig = new Rig();
    await rig.start();
    rig.datapath.failNext(when, new BerthError('NFT_UNAVAILABLE', 'nft: Cannot allocate memory'));

    // Step 1: nothing can be known.
    await rig.set(server(1));
    t.deepEqual(rig.live(), []);
    t.deepEqual(
      rig.recorded('failure').map(({ operation }) => operation),
      ['pass'],
    );

    // Step 2: it works again.
    await rig.advance(100);
    t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
    t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
    t.deepEqual(
      rig.recorded('recovered').map(({ operation }) => operation),
      ['pass'],
    );
  });
}

test('I3: somebody takes the key between the look and the transaction, and the second try is right', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.ruleset.deaf = true;
  rig.ruleset.put(HIJACKED);

  await rig.set(server(1));

  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});
