import test from 'ava';
import { claimEpoch } from '../../daemon/ops/epoch.ts';
import { StateFileDouble } from '../../daemon/ops/statefile.double.ts';
import { decodeState } from '../../daemon/ops/stateformat.ts';

const EMPTY = { grants: [], resting: [], settings: [] };
const saved = (file: StateFileDouble) => decodeState(file.text ?? '').state?.epoch;

test('an epoch is the time of the claim, and stands in everything that is saved', async (t) => {
  const file = new StateFileDouble();
  const { epoch, store } = await claimEpoch(file, 1_000);
  t.is(epoch, 1_000);
  await store.save(EMPTY);
  t.is(saved(file), 1_000);
});

test('a clock that went back gives no smaller epoch, also when the agent dies before it saves', async (t) => {
  const file = new StateFileDouble({ ...EMPTY, epoch: 5_000 });
  t.is((await claimEpoch(file, 1_000)).epoch, 5_001);
  t.is((await claimEpoch(file, 1_000)).epoch, 5_002);
});
