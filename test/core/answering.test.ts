import test from 'ava';
import { allAddresses, answeringAddresses } from '../../daemon/core/answering.ts';
import { mapping } from '../rpc/fixture.ts';

const live = (fields: Parameters<typeof mapping>[1]) => ({ node: 'node-a', mapping: mapping('p', fields), since: 0 });

test('an address of a device that the cluster knows too is told once, as what the cluster says it is', (t) => {
  const known = [
    { type: 'internal-ip', address: '10.0.0.1' },
    { type: 'external-ip', address: '198.51.100.1' },
  ] as const;
  t.deepEqual(allAddresses(known, ['10.0.0.1', '192.0.2.1']), [...known, { type: 'device', address: '192.0.2.1' }]);
  t.deepEqual(allAddresses([], ['192.0.2.1']), [{ type: 'device', address: '192.0.2.1' }]);
});

test('a mapping answers at its own address, or at those of a family that its pod has', (t) => {
  const addresses = ['10.0.0.1', 'fd00::1', '192.0.2.1'];
  t.deepEqual(answeringAddresses(live({ podIPs: ['10.1.0.5'] }), addresses), ['10.0.0.1', '192.0.2.1']);
  t.deepEqual(answeringAddresses(live({ podIPs: ['fd01::5'] }), addresses), ['fd00::1']);
  t.deepEqual(answeringAddresses(live({ podIPs: ['10.1.0.5', 'fd01::5'] }), addresses), addresses);
  t.deepEqual(answeringAddresses(live({ hostIP: '192.0.2.7' }), addresses), ['192.0.2.7']);
  t.deepEqual(answeringAddresses(live({ podIPs: [] }), addresses), []);
});
