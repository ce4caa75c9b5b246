/** What other programs and the kernel itself do to the table and the connections. */
import type { Element, SetName } from '../../rules/element.ts';
import type { Director, NodeDirector } from './director.ts';
import { flowNow, type SimFlow } from './flowcheck.ts';
import type { Action } from './podactions.ts';
import { reached, type Stage } from './stage.ts';
import { rulesOf } from './table.ts';

export function flush({ stage, life }: NodeDirector): void {
  reached(stage, life === undefined ? 'ruleset flushed while no agent ran' : 'ruleset flushed');
  stage.node.ruleset.flush();
  stage.watcher.tampered();
}

function damage({ stage }: Director): void {
  reached(stage, 'chain damaged');
  stage.node.ruleset.damage('chain hostports4 has other rules');
  stage.watcher.tampered();
}

function deleteElements({ stage }: Director): void {
  const { random, node } = stage;
  reached(stage, 'element deleted');
  node.ruleset.remove(() => random.chance(0.3));
  stage.watcher.tampered();
}

function changeElement({ stage }: Director): void {
  const { random, node } = stage;
  const rules = rulesOf(node.ruleset.elements());
  if (rules.length === 0) return;
  const { element, podPort, family } = random.pick(rules);
  const address = family === 4 ? '10.99.99.99' : 'fd00:bad::2';
  if (!node.put({ ...element, value: podPort === undefined ? address : `${address} . ${podPort}` })) return;
  reached(stage, 'element changed', element.key);
  stage.watcher.tampered();
}

/** Also one that looks as if an agent had made it, for a pod that never was. */
function addForeign({ stage }: Director): void {
  const { random, node } = stage;
  const number = random.integer(20_000, 20_199);
  const comment = random.pick(['', 'portmap', '6f1b2c3d-dead-4000-8000-000000000000/web']);
  const element: Element = random.pick([
    { set: 'any4' as SetName, key: `tcp . ${number}`, value: '10.66.66.66 . 80', comment },
    { set: 'host4' as SetName, key: `192.0.2.10 . udp . ${number}`, value: '10.66.66.66 . 53', comment },
    { set: 'anyblock4' as SetName, key: `udp . 20190-20195`, value: '10.66.66.66', comment },
    { set: 'allow4' as SetName, key: `tcp . ${number} . 198.18.0.0/15`, value: '', comment },
    { set: 'nodeaddr4' as SetName, key: '10.20.30.40', value: '', comment: '' },
  ]);
  // What already stands there is another fault's business.
  if (node.ruleset.elements().some(({ set, key }) => set === element.set && key === element.key)) return;
  if (!node.put(element)) return;
  reached(stage, 'foreign element', element.key);
  stage.watcher.tampered();
}

function obstruct({ stage }: Director): void {
  stage.weather.obstruct = stage.random.chance(0.5) ? 'EEXIST' : 'ENOENT';
}

function refusePod({ stage }: Director): void {
  const { random, api, weather, time } = stage;
  if (api.pods.length === 0) return;
  const { uid } = random.pick(api.pods);
  reached(stage, 'one pod refused', uid.slice(-3));
  weather.guilty.add(uid);
  time.after(random.between(1_000, 60_000), () => {
    weather.guilty.delete(uid);
    weather.impair(time.now + 65_000);
  });
}

export function troubleNft({ stage }: NodeDirector): void {
  const { random, weather, time } = stage;
  const kind = random.pick(['down', 'slow', 'reply'] as const);
  if (kind === 'reply') weather.nftReplyLost = true;
  else if (kind === 'slow') weather.nftSlow = random.pick([300, 5_000, 60_000]);
  else {
    weather.nftDownUntil = time.now + random.pick([50, 2_000, 30_000]);
    weather.impair(weather.nftDownUntil);
  }
}

function troubleNotifications({ stage }: Director): void {
  const { random, weather, time } = stage;
  if (random.chance(0.5)) weather.deafUntil = time.now + random.between(100, 60_000);
  else weather.lateUntil = time.now + random.between(100, 60_000);
}

function troubleConntrack({ stage }: Director): void {
  const { random, weather, time } = stage;
  weather.conntrackDownUntil = time.now + random.pick([50, 1_500, 20_000]);
}

const CLIENTS = ['203.0.113.5', '203.0.113.7', '198.51.100.99', '10.244.0.200', '192.0.2.10'];
const CLIENTS6 = ['2001:db8:1::5', '2001:db8:f::1'];

/** Clients send to mapped and unmapped host ports; pods and other programs have connections of their own. */
function openFlows({ stage }: Director): void {
  const { random, node } = stage;
  const rules = rulesOf(node.ruleset.elements());
  for (let count = random.integer(1, 6); count > 0; count--) {
    const rule = rules.length > 0 && random.chance(0.75) ? random.pick(rules) : undefined;
    const port = rule === undefined ? random.integer(20_000, 20_060) : random.integer(rule.first, rule.last);
    const protocol = rule?.protocol ?? random.pick(['TCP', 'UDP'] as const);
    const six = (rule?.family ?? 4) === 6;
    const here = node.addresses.filter(({ family }) => (family === 6) === six).map(({ address }) => address);
    if (here.length === 0) continue;
    const remote = random.chance(0.1);
    const destination = remote ? (six ? '2001:db8:9::9' : '8.8.8.8') : random.pick(six ? here : [...here, '127.0.0.1']);
    const source = destination === '127.0.0.1' ? '127.0.0.1' : random.pick(six ? CLIENTS6 : CLIENTS);
    add(stage, flowNow(stage, { protocol, source, sourcePort: random.integer(1_024, 65_535), destination, port }));
  }
  if (random.chance(0.2)) add(stage, nodePortFlow(stage));
  if (random.chance(0.3)) node.flows.flows = node.flows.flows.filter(() => random.chance(0.7));
}

/** kube-proxy's: translated, but not by Berth, on a port outside every pool. */
function nodePortFlow({ random }: Stage): SimFlow {
  const sourcePort = random.integer(1_024, 65_535);
  return {
    ...{ protocol: 'TCP', source: '203.0.113.5', sourcePort, destination: '192.0.2.10', port: 30_080 },
    ...{ replySource: '10.244.9.9', replyPort: 8_080, owner: '', foreign: true, excused: false },
  };
}

function add({ node }: Stage, flow: SimFlow): void {
  if (node.flows.flows.length < 60) node.flows.flows.push(flow);
}

export const KERNEL_ACTIONS: readonly (readonly [number, Action])[] = [
  [2, flush],
  [0.7, damage],
  [2, deleteElements],
  [1.5, changeElement],
  [2, addForeign],
  [2.5, obstruct],
  [1.5, refusePod],
  [2.5, troubleNft],
  [1.2, troubleNotifications],
  [1.2, troubleConntrack],
  [8, openFlows],
];
