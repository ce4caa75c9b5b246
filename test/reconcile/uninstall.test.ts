/** The steps of uninstalling over doubles: each is tried, each is told, and what is left has a remedy. */
import test from 'ava';
import type { Flow } from '../../daemon/core/flow.ts';
import type { ChangedSetting, Grant } from '../../daemon/core/state.ts';
import { FlowsDouble } from '../../daemon/datapath/flows.double.ts';
import { filesStep } from '../../daemon/reconcile/uninstall/files.ts';
import { podsStep } from '../../daemon/reconcile/uninstall/pods.ts';
import type { AnnouncedPod, OwnFile } from '../../daemon/reconcile/uninstall/ports.ts';
import { flowsStep, formerTargets, rulesStep } from '../../daemon/reconcile/uninstall/rules.ts';
import { devicesStep, portsStep } from '../../daemon/reconcile/uninstall/settings.ts';
import { done, runSteps, type Step } from '../../daemon/reconcile/uninstall/steps.ts';
import type { Adopted } from '../../rules/adoption.ts';

const RESERVED = 'net.ipv4.ip_local_reserved_ports';
const loopback = (device: string): ChangedSetting => ({
  setting: `net.ipv4.conf.${device}.route_localnet`,
  before: '0',
});
const announced = (name: string): AnnouncedPod => ({ namespace: 'shop', name, uid: name, podIPs: ['10.0.0.7'] });

function step(name: string, run: Step['run']): Step {
  return { name, run, remedy: `do ${name} by hand` };
}

test('every step is tried after one that failed, and what is left is told with its remedy', async (t) => {
  const lines: string[] = [];
  const failing = step('one', () => Promise.reject(new Error('no \u001b[31mway')));
  const left = await runSteps([failing, step('two', async () => done('went well'))], false, (line) => lines.push(line));
  t.deepEqual(lines, ['one      left: no \\x1b[31mway; do one by hand', 'two      went well']);
  t.is(left.length, 1);
});

test('after an interruption nothing more is begun, and that is told', async (t) => {
  const left = await runSteps(
    [step('one', async () => t.fail())],
    false,
    () => {},
    () => true,
  );
  t.deepEqual(left, [{ what: 'not tried: the command was interrupted', remedy: 'do one by hand' }]);
});

test('pods that could not be freed are named, with the last reason', async (t) => {
  let standing = [announced('a'), announced('b')];
  const withdraw = async () => {
    standing = [announced('b')];
    return ['first', 'forbidden'];
  };
  const found: string[] = [];
  const announcements = { find: async () => standing, withdraw };
  const report = await podsStep(announcements, new Set(), (pods) => found.push(...pods.map(({ uid }) => uid))).run(
    false,
  );
  t.deepEqual(found, ['a', 'b']);
  t.is(report.says, 'took annotations and condition from 1 pod: shop/a');
  t.is(report.left[0]?.what, 'annotations and condition of 1 pod: shop/b (forbidden)');
});

test('a device that is gone, one that was closed by others, and one that cannot be closed', async (t) => {
  const open = new Map([
    ['br0', true],
    ['shut', false],
    ['bad.1', true],
  ]);
  const closed: string[] = [];
  const switches = {
    loopbackOpen: (device: string) => open.get(device),
    closeLoopback: (device: string) => {
      if (device === 'bad.1') throw new Error('EPERM');
      closed.push(device);
    },
  };
  const settings = [...['br0', 'gone', 'shut', 'bad.1'].map(loopback), { setting: RESERVED, before: '' }];
  const report = await devicesStep(settings, switches).run(false);
  t.deepEqual(closed, ['br0']);
  t.is(report.says, 'set route_localnet back to 0 on br0');
  t.deepEqual(report.left, [
    {
      what: 'route_localnet of bad.1: EPERM',
      remedy: 'set it back by hand: sysctl -w net/ipv4/conf/bad.1/route_localnet=0',
    },
  ]);
  t.is((await devicesStep(settings, switches).run(true)).says, 'would set route_localnet back to 0 on br0, bad.1');
  t.deepEqual(closed, ['br0']);
});

test('a setting that this version does not know is left, with what stood there', async (t) => {
  const settings = [loopback('br0'), { setting: 'net.core.somaxconn', before: '7' }];
  const report = await portsStep(settings, RESERVED, { restore: () => t.fail() as never }).run(false);
  t.is(report.says, 'no ports were reserved by Berth');
  t.regex(report.left[0]?.remedy ?? '', /"7"/);
});

const ADOPTED: Adopted = {
  ...{ uid: 'a', name: 'web', protocol: 'TCP', hostPort: 20_000, size: 1, containerPort: 80, podIPs: ['10.0.0.7'] },
};
const grant = (uid: string, hostPort: number): Grant => ({
  ...{
    uid,
    namespace: 'shop',
    pod: uid,
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort,
    size: 1,
    containerPort: 80,
  },
});
const to = (port: number, replySource: string, destination = '192.0.2.1'): Flow => ({
  ...{ protocol: 'TCP', source: '198.51.100.1', sourcePort: 5000, destination, port, replySource, replyPort: 80 },
});

test('a table that cannot be read is deleted all the same; a dry run says that it cannot be read', async (t) => {
  let removed = 0;
  const table = {
    look: () => Promise.reject(new Error('it changes')),
    remove: async () => {
      removed++;
    },
  };
  const rules = rulesStep(table, () => t.fail());
  t.is((await rules.run(false)).says, 'deleted the table inet berth, unread (it changes)');
  await t.throwsAsync(rules.run(true));
  t.is(removed, 1);
});

test('flows of mappings that stood go, and of those that only the state file knows; no other does', async (t) => {
  class Flows extends FlowsDouble {
    count = () => Promise.resolve(0);
  }
  const flows = new Flows();
  const kept = [
    to(20_000, '10.0.0.9'),
    to(20_000, '10.0.0.7', '203.0.113.9'),
    to(20_001, '10.0.0.9'),
    to(30_000, '10.0.0.7'),
    { ...to(20_000, '192.0.2.1'), replyPort: 20_000 },
  ];
  flows.flows = [to(20_000, '10.0.0.7'), to(20_001, '10.0.0.8'), to(20_002, '10.0.0.5'), ...kept];
  const knowledge = {
    mappings: [ADOPTED],
    grants: [grant('a', 20_000), grant('b', 20_001), grant('c', 20_002)],
    podIPs: new Map([['b', ['10.0.0.8']]]),
  };
  const report = await flowsStep(
    flows,
    () => (address) => address === '192.0.2.1',
    () => knowledge,
  ).run(false);
  t.is(report.says, 'deleted 3 tracked flows');
  t.deepEqual(flows.flows, kept);
  t.is(formerTargets(knowledge).length, 3, 'a mapping that stands in both counts once');
});

test('where nothing was mapped connections are not looked at', async (t) => {
  const flows = Object.assign(new FlowsDouble(), { count: () => t.fail() as never });
  const report = await flowsStep(
    flows,
    () => t.fail() as never,
    () => ({ mappings: [], grants: [], podIPs: new Map() }),
  ).run(false);
  t.is(report.says, 'no flow can lead through a mapping');
  t.is(flows.purges, 0);
});

test('what remembers stays as long as it is needed; every other file goes, but for one that cannot', async (t) => {
  const all: OwnFile[] = ['state.json', 'agent.sock', 'lock'].map((path) => ({ path, memory: path === 'state.json' }));
  const removed: string[] = [];
  const remove = ({ path }: OwnFile) => {
    if (path === 'agent.sock') throw new Error('EROFS');
    removed.push(path);
  };
  const report = await filesStep({ find: () => all, remove }, () => 'it remembers').run(false);
  t.deepEqual(removed, ['lock']);
  t.deepEqual(
    report.left.map(({ what }) => what),
    ['state.json: it remembers', 'agent.sock: EROFS'],
  );
});
