import test from 'ava';
import { NetworkDouble } from '../../daemon/datapath/network.double.ts';
import { Surroundings } from '../../daemon/reconcile/surroundings.ts';
import { elementId } from '../../rules/element.ts';
import { mappingFor } from './demands.ts';
import { HOME } from './rig.ts';

const BRIDGE = { family: 4, address: '10.0.0.254', device: 'cni0' } as const;

interface Place {
  readonly network: NetworkDouble;
  readonly surroundings: Surroundings;
  readonly failures: string[];
  /** What the network was asked. */
  readonly asked: string[];
}

function place(bridge = true): Place {
  const network = new NetworkDouble();
  network.setAddresses([...HOME, BRIDGE]);
  for (const podIP of ['10.0.0.1', '10.0.0.2']) network.setRoute({ podIP, device: 'cni0', bridge });
  const failures: string[] = [];
  const asked: string[] = [];
  network.fault = (operation) => {
    asked.push(operation);
  };
  return { network, surroundings: new Surroundings(network, (operation) => failures.push(operation)), failures, asked };
}

const pods = [mappingFor(1), mappingFor(2)];

test('the environment is the node’s addresses and the bridges with pods behind them', (t) => {
  const { surroundings } = place();
  surroundings.refresh();
  const { elements, complete } = surroundings.environment(pods);
  t.deepEqual(elements.map(elementId), [
    'nodeaddr4 192.0.2.10',
    'nodeaddr6 2001:db8::10',
    'nodeaddr4 10.0.0.254',
    'samedev cni0 . cni0',
  ]);
  t.true(complete);
});

test('a device that is no bridge needs no hairpin and no element', (t) => {
  const { network, surroundings } = place(false);
  surroundings.refresh();
  t.false(surroundings.environment(pods).elements.some(({ set }) => set === 'samedev'));
  t.deepEqual([network.hairpins.size, [...network.loopbacks]], [0, ['cni0']]);
});

test('answers are remembered until the network has changed', (t) => {
  const { surroundings, asked } = place();
  surroundings.refresh();
  surroundings.environment(pods);
  t.deepEqual(asked.splice(0).toSorted(), [
    'addresses',
    'openHairpin',
    'openHairpin',
    'openLoopback',
    'route',
    'route',
  ]);
  surroundings.environment(pods);
  t.deepEqual(asked, []);
  surroundings.refresh();
  surroundings.environment(pods);
  t.is(asked.length, 6);
});

test('a pod that is gone is forgotten: its successor at the address is asked for anew', (t) => {
  const { surroundings, asked } = place();
  surroundings.refresh();
  surroundings.environment(pods);
  surroundings.environment(pods.slice(0, 1));
  asked.length = 0;
  surroundings.environment(pods);
  t.deepEqual(asked, ['route', 'openHairpin']);
});

test('a bridge port that is not known yet makes it incomplete, and is asked for each time', (t) => {
  const { network, surroundings } = place();
  network.unlearnt.add('10.0.0.2');
  surroundings.refresh();
  t.false(surroundings.environment(pods).complete);
  network.unlearnt.clear();
  t.true(surroundings.environment(pods).complete);
});

test('an IPv6 address needs no route_localnet', (t) => {
  const { network, surroundings } = place();
  network.setRoute({ podIP: 'fd00::1', device: 'veth6', bridge: false });
  surroundings.refresh();
  surroundings.environment([mappingFor(1, { podIPs: ['fd00::1'] })]);
  t.deepEqual([...network.loopbacks], []);
});

test('a pod without a route is no failure', (t) => {
  const { surroundings, failures } = place();
  surroundings.refresh();
  t.true(surroundings.environment([mappingFor(9)]).complete);
  t.deepEqual(failures, []);
});

for (const operation of ['route', 'openLoopback', 'openHairpin'] as const) {
  test(`a failing ${operation} is told of, stops nothing, and is tried again`, (t) => {
    const { network, surroundings, failures } = place();
    surroundings.refresh();
    network.fault = (one) => {
      if (one === operation) throw new Error('EPERM');
    };
    t.true(surroundings.environment(pods).elements.length >= 3);
    t.true(failures.length > 0);
    network.fault = () => {};
    surroundings.refresh();
    t.is(surroundings.environment(pods).elements.length, 4);
    t.is(network.hairpins.size, 2);
  });
}

test('addresses that cannot be read are those of the last time; without a last time it throws', (t) => {
  const { network, surroundings, failures } = place();
  const fail = () => {
    throw new Error('ENOBUFS');
  };
  network.fault = fail;
  t.throws(() => surroundings.refresh(), { message: 'ENOBUFS' });
  network.fault = () => {};
  t.true(surroundings.refresh());
  network.fault = fail;
  t.false(surroundings.refresh());
  t.is(surroundings.addresses.length, 3);
  t.deepEqual(failures, ['addresses']);
});

test('the node’s own addresses and the whole of 127.0.0.0/8 are the node', (t) => {
  const { surroundings } = place();
  surroundings.refresh();
  const addresses = ['192.0.2.10', '2001:db8::10', '127.0.0.53', '10.0.0.1', '1270.0.0.1'];
  t.deepEqual(addresses.map(surroundings.isNodeAddress), [true, true, true, false, false]);
});

test('clients are told the addresses of devices that do not lead to pods, and the same object while nothing changes', (t) => {
  const { surroundings } = place();
  surroundings.refresh();
  surroundings.environment(pods);
  const { outward } = surroundings;
  t.deepEqual(
    outward.map(({ address }) => address),
    ['192.0.2.10', '2001:db8::10'],
  );
  surroundings.refresh();
  surroundings.environment(pods);
  t.is(surroundings.outward, outward);
});

test('a node whose every device leads to pods tells all its addresses rather than none', (t) => {
  const { network, surroundings } = place();
  network.setAddresses([BRIDGE]);
  surroundings.refresh();
  surroundings.environment(pods);
  t.deepEqual(surroundings.outward, [BRIDGE]);
});

test('a setting is remembered as it stood before Berth changed it for the first time', (t) => {
  const { network, surroundings } = place();
  const setting = 'net.ipv4.conf.cni0.route_localnet';
  surroundings.restoreSettings([{ setting, before: 'earlier' }]);
  surroundings.refresh();
  surroundings.environment(pods);
  surroundings.noteSetting({ setting: 'net.ipv4.ip_local_reserved_ports', before: '' });
  t.true(network.loopbacks.has('cni0'));
  t.deepEqual(surroundings.settings, [
    { setting, before: 'earlier' },
    { setting: 'net.ipv4.ip_local_reserved_ports', before: '' },
  ]);
});

test('what is changed on a bridge is noted before it is changed', (t) => {
  const { network, surroundings } = place();
  surroundings.refresh();
  t.true(surroundings.foresee(pods));
  t.false(network.loopbacks.has('cni0'));
  t.deepEqual(surroundings.settings, [{ setting: 'net.ipv4.conf.cni0.route_localnet', before: '0' }]);
  t.false(surroundings.foresee(pods), 'it is noted once');
  surroundings.environment(pods);
  t.true(network.loopbacks.has('cni0'));
  t.is(surroundings.settings.length, 1);
});

test("what is changed on a pod's own device, which ends with the pod, is not noted beforehand", (t) => {
  const { surroundings } = place(false);
  surroundings.refresh();
  t.false(surroundings.foresee(pods));
});

test('what stood on a bridge already is not noted', (t) => {
  const { network, surroundings } = place();
  network.loopbacks.add('cni0');
  surroundings.refresh();
  t.false(surroundings.foresee(pods));
  t.deepEqual(surroundings.settings, []);
});

test("what was noted and could not be changed, or was changed by somebody else meanwhile, is not Berth's", (t) => {
  for (const meanwhile of ['refused', 'changed'] as const) {
    const { network, surroundings } = place();
    surroundings.refresh();
    t.true(surroundings.foresee(pods));
    if (meanwhile === 'changed') network.loopbacks.add('cni0');
    else
      network.fault = (operation) => {
        if (operation === 'openLoopback') throw new Error('EPERM');
      };
    const { settingsVersion } = surroundings;
    surroundings.environment(pods);
    t.deepEqual(surroundings.settings, [], meanwhile);
    t.not(surroundings.settingsVersion, settingsVersion, 'the state file is written anew');
  }
});

test('what Berth added to a list is gathered over several agents, each part once', (t) => {
  const { surroundings } = place();
  const setting = 'net.ipv4.ip_local_reserved_ports';
  surroundings.noteSetting({ setting, before: '1-9,40000', added: '40001,50000' });
  surroundings.restoreSettings([{ setting, before: '1-9', added: '40000,40001' }]);
  t.deepEqual(surroundings.settings, [{ setting, before: '1-9', added: '40000,40001,50000' }]);
});

test('I10: where each pod has a device of its own, what was changed on those that are gone is forgotten', (t) => {
  const { network, surroundings } = place(false);
  for (let round = 0; round < 300; round++) {
    const podIP = `10.1.${round >> 8}.${round & 255}`;
    network.setRoute({ podIP, device: `veth${round}`, bridge: false });
    surroundings.refresh();
    surroundings.environment([{ ...mappingFor(1), podIPs: [podIP] }]);
    if (round > 0) network.removeRoute(podIP);
  }
  t.true(surroundings.settings.length <= 66, `${surroundings.settings.length} settings`);
  t.true(surroundings.settings.some(({ setting }) => setting === 'net.ipv4.conf.veth0.route_localnet'));
});
