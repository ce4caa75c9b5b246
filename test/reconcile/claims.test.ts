/** Ports whose number is known beforehand: from the annotation to the rule, and what is told while there is none. */
import test from 'ava';
import { claimant, Rig } from './rig.ts';

const CLAIM = 25_565;

test('a claimed port gets the number of its claim, and the pod is told', async (t) => {
  const rig = new Rig();
  rig.claims.bind('games', 'lobby', CLAIM);
  await rig.start();
  const pod = claimant(1);
  await rig.set(pod);
  t.deepEqual(rig.rules(), [`tcp . ${CLAIM} : 10.0.0.1 . 80`]);
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
  t.is(rig.told(pod)?.annotations['port.berth.dev/web'], String(CLAIM));
  t.is(rig.reason(pod), 'PortsMapped');
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: CLAIM }]);
});
