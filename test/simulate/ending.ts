/**
 * The end of a run, when everything works again and time has passed: kernel, announcements, results on the pods, sockets,
 * state file and connections are exactly what the pods ask for. It goes by the truth, not by what an agent was told.
 */

import { isActive } from '../../daemon/core/podstate.ts';
import type { Grant } from '../../daemon/core/state.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { type Element, elementId } from '../../rules/element.ts';
import type { AgentLife } from './agentlife.ts';
import type { Asked, AskedPort } from './asked.ts';
import { expectedElements, textOf } from './expected.ts';
import { hostIPOf, targetsOf } from './podneeds.ts';
import { isPlaceable } from './room.ts';
import { reservationKey } from './rulecheck.ts';
import type { Stage } from './stage.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';

/** A pod as it should be: with its numbers, and with rules if it has an address. */
export interface Due {
  readonly pod: Pod;
  readonly asked: Asked;
  /** Null: the node lacks the address that is meant. */
  readonly hostIP: string | undefined | null;
  readonly podIPs: readonly string[];
}

/** An entry of `berth.dev/mappings`. */
interface Written {
  readonly name: string;
  readonly protocol: string;
  readonly hostPort: number;
  readonly podUID: string;
  readonly podIP: string;
}

/** A port with the number that it was found to have. */
interface Found {
  readonly due: Due;
  readonly port: AskedPort;
  readonly first: number;
}

export function checkEnding(stage: Stage, life: AgentLife | undefined): void {
  if (life?.link.view.listedAt === undefined) throw new Violation('I3', 'no agent is at work');
  const rules = rulesOf(stage.node.ruleset.elements());
  const dues = duesOf(stage, rules);
  stage.watcher.claims.end(rules);
  const found = dues.flatMap((due) => findNumbers(stage, due, rules));
  checkNumbers(found);
  checkKernel(stage, found);
  checkAnnounced(life, found);
  for (const pod of stage.api.pods)
    checkResult(
      stage,
      pod,
      dues.find((due) => due.pod.uid === pod.uid),
      found,
    );
  stage.watcher.writes.end();
  checkSockets(stage, found, dues);
  checkState(stage, found);
  const [flow] = stage.watcher.flows.disagreeing();
  if (flow !== undefined) {
    throw new Violation(
      'I7',
      `a connection to ${flow.destination} ${flow.protocol}/${flow.port} leads to ${flow.replySource}, which it should not`,
    );
  }
}

/** The pods that ask for something and may have it here. The newest pod has an address. */
function duesOf(stage: Stage, rules: readonly Rule[]): readonly Due[] {
  const { api, node, pools } = stage;
  const dues: Due[] = [];
  for (const pod of api.pods) {
    const asked = api.asked(pod);
    if (asked === undefined || !isActive(pod) || pod.hostNetwork) continue;
    // Of the pods of a claim one has its number.
    if (stage.watcher.claims.hasTurn(pod, rules) === false) continue;
    const hostIP = hostIPOf(
      asked,
      pools.find(({ name }) => name === asked.pool),
      node,
      rules.find(({ uid }) => uid === pod.uid)?.hostIP,
    );
    const shared = api.pods.some(
      (other) =>
        other.uid !== pod.uid &&
        isActive(other) &&
        !other.hostNetwork &&
        other.podIPs.some((ip) => pod.podIPs.includes(ip)) &&
        (other.createdAt > pod.createdAt || (other.createdAt === pod.createdAt && other.uid > pod.uid)),
    );
    dues.push({ pod, asked, hostIP, podIPs: shared || hostIP === null ? [] : targetsOf(pod, hostIP, node) });
  }
  return dues;
}

/** All of a pod's ports have their numbers, or none has and there is a reason. */
function findNumbers(stage: Stage, due: Due, rules: readonly Rule[]): readonly Found[] {
  const { pod, asked, podIPs } = due;
  const numbers = asked.ports.map((port) => {
    const rule = rules.find(
      ({ uid, name, protocol }) => uid === pod.uid && name === port.name && protocol === port.protocol,
    );
    const promise = stage.api.resultOf(pod.uid)?.annotations[`port.berth.dev/${port.name}`];
    return rule?.first ?? (podIPs.length > 0 || promise === undefined ? undefined : Number(promise.split('-')[0]));
  });
  const missing = numbers.indexOf(undefined);
  const found = asked.ports.flatMap((port, index) => {
    const first = numbers[index];
    return first === undefined ? [] : [{ due, port, first }];
  });
  // What a pod was given for another address, or before it asked for more, is kept.
  if (missing < 0 || due.hostIP === null) return found;
  const unknown = podIPs.length === 0 && !asked.berth;
  if (!unknown && isPlaceable(stage, due))
    throw new Violation('I8', `${pod.uid} has no host ports although there is room`);
  if (!unknown) stage.counts.reached('pool exhausted');
  return found;
}

function checkNumbers(found: readonly Found[]): void {
  const units = new Map<string, number>();
  for (const { due, port, first } of found) {
    const unit = `${due.pod.uid} ${port.unit}`;
    if ((units.get(unit) ?? first) !== first) throw new Violation('I1', `${unit} has more than one number`);
    units.set(unit, first);
    if (port.exact !== undefined && port.exact !== first) throw new Violation('I1', `${unit} is not at ${port.exact}`);
  }
}

function checkKernel(stage: Stage, found: readonly Found[]): void {
  const { node } = stage;
  const expected = new Map<string, Element>();
  const expect = (element: Element) => expected.set(elementId(element), element);
  const bridges = new Set<string>();
  for (const { due, port, first } of found) {
    const { pod, asked, hostIP, podIPs } = due;
    const mapping = {
      uid: pod.uid,
      ...port,
      first,
      hostIP: hostIP ?? undefined,
      podIPs,
      containerPort: port.containerPort,
      allowFrom: asked.allowFrom,
    };
    expectedElements(mapping).forEach(expect);
    for (const podIP of podIPs) {
      const route = node.network.route(podIP);
      if (route?.bridge) bridges.add(route.device);
    }
  }
  const plain = { value: '', comment: '' };
  for (const { family, address } of node.addresses) expect({ set: `nodeaddr${family}`, key: address, ...plain });
  for (const bridge of bridges) expect({ set: 'samedev', key: `${bridge} . ${bridge}`, ...plain });
  for (const element of node.ruleset.elements()) {
    const wanted = expected.get(elementId(element));
    if (wanted === undefined || textOf(wanted) !== textOf(element)) {
      throw new Violation(
        'I3',
        `the kernel has ${textOf(element)}, expected ${wanted === undefined ? 'nothing' : textOf(wanted)}`,
      );
    }
    expected.delete(elementId(element));
  }
  for (const element of expected.values()) throw new Violation('I3', `the kernel lacks ${textOf(element)}`);
}

function checkAnnounced(life: AgentLife, found: readonly Found[]): void {
  const left = new Set(life.announced.keys());
  for (const { due, port, first } of found) {
    if (due.podIPs.length === 0) continue;
    const owner = ownerOf({ uid: due.pod.uid, ...port });
    const mapping = life.announced.get(owner);
    if (mapping?.hostPort !== first || mapping.podIPs.join() !== due.podIPs.join()) {
      throw new Violation('I9', `${owner} is announced as ${JSON.stringify(mapping)}`);
    }
    left.delete(owner);
  }
  for (const owner of left) throw new Violation('I9', `${owner} is announced and not mapped`);
}

/** What stands on the pod says what is so. */
function checkResult(stage: Stage, pod: Pod, due: Due | undefined, found: readonly Found[]): void {
  const result = stage.api.resultOf(pod.uid);
  const own = found.filter((one) => one.due.pod.uid === pod.uid);
  const live = (due?.podIPs.length ?? 0) > 0 ? own : [];
  const written = result?.annotations['berth.dev/mappings'];
  const entries = (written === undefined ? [] : JSON.parse(written)) as readonly Written[];
  const texts = entries.map((one) => `${one.name} ${one.protocol} ${one.hostPort} ${one.podUID} ${one.podIP}`);
  const expected = due?.asked.berth
    ? live.map(({ port, first }) => `${port.name} ${port.protocol} ${first} ${pod.uid} ${due.podIPs[0]}`)
    : [];
  if (texts.sort().join() !== expected.sort().join()) {
    throw new Violation('I9', `berth.dev/mappings of ${pod.uid} says [${texts}], expected [${expected}]`);
  }
  const promised = Object.keys(result?.annotations ?? {}).filter((key) => key.startsWith('port.berth.dev/'));
  const asked = stage.api.asked(pod);
  // Whoever waits for the number of a claim, or had it, knows it all the same.
  const known = asked?.claim !== undefined && isActive(pod) && !pod.hostNetwork ? asked.ports : [];
  const named = due?.asked.berth ? own.map(({ port }) => port) : known;
  const names = new Set(named.map(({ name }) => `port.berth.dev/${name}`));
  if (known.length > 0 && promised.length === 0 && stage.watcher.claims.isBlocked(pod)) names.clear();
  if (promised.length !== names.size || !promised.every((key) => names.has(key))) {
    throw new Violation('I7', `${pod.uid} carries the promises ${promised}, expected ${[...names]}`);
  }
  const asks = asked?.berth || asked?.galaxy || 'berth.dev/ports' in pod.annotations;
  const status = result?.condition?.status;
  const complete = live.length > 0 && live.length === due?.asked.ports.length;
  const wanted = !asks || !isActive(pod) ? undefined : complete ? 'True' : 'False';
  if (status !== wanted) throw new Violation('I2', `the condition of ${pod.uid} is ${status}, expected ${wanted}`);
}

function checkSockets(stage: Stage, found: readonly Found[], dues: readonly Due[]): void {
  const { node } = stage;
  const held = new Map(node.reserver.held().map((one) => [reservationKey(one.protocol, one.port, one.hostIP), one]));
  for (const { due, port, first } of found) {
    // The socket of an address that has gone may be there still, and need not.
    if (due.hostIP === null) continue;
    for (let number = first; number < first + port.size; number++) {
      const one = {
        protocol: port.protocol,
        port: number,
        ...(due.hostIP === undefined ? {} : { hostIP: due.hostIP }),
      };
      const key = reservationKey(one.protocol, one.port, one.hostIP);
      if (!held.delete(key) && !node.isOccupied(one)) throw new Violation('I2', `nobody holds ${key}`);
    }
  }
  // Those of pods that wait for an address, where nothing tells their numbers.
  const waiting = new Set(
    dues.filter(({ asked, podIPs }) => !asked.berth && podIPs.length === 0).map(({ asked }) => asked.pool),
  );
  const absent = stage.api.pods.some(
    (pod) => stage.api.asked(pod)?.hostIP !== undefined || stage.api.asked(pod)?.pool === 'public',
  );
  if (waiting.size > 0 || absent) return;
  // Of a claim none of whose pods has an address one has the number.
  for (const { protocol, port } of held.values()) {
    if (stage.claims?.numbered(port) !== undefined) held.delete(reservationKey(protocol, port, undefined));
  }
  for (const key of held.keys()) throw new Violation('I7', `${key} is held for nobody`);
}

function checkState(stage: Stage, found: readonly Found[]): void {
  const { grants = [] } = JSON.parse(stage.node.disk.text ?? '{}') as { grants?: readonly Grant[] };
  const written = new Set(grants.map((grant) => `${ownerOf(grant)} ${grant.hostPort}`));
  for (const { due, port, first } of found) {
    const text = `${ownerOf({ uid: due.pod.uid, ...port })} ${first}`;
    if (!written.has(text)) throw new Violation('I3', `the state file lacks ${text}`);
  }
}
