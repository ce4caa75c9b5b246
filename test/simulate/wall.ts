/** The world of one life of the agent: the doubles of the node and of the API server, each call through the wall. */

import { BerthError } from '../../daemon/core/errors.ts';
import type { Mapping, PodRef, Protocol, Reservation } from '../../daemon/core/vocabulary.ts';
import type {
  AgentEvent,
  Datapath,
  Network,
  Publisher,
  Registry,
  Reserver,
  StateStore,
  World,
} from '../../daemon/reconcile/ports.ts';
import type { ElementChange } from '../../rules/element.ts';
import { elementId } from '../../rules/element.ts';
import { type AgentLife, nftDown } from './agentlife.ts';
import type { Ground } from './ground.ts';
import { note, reached } from './stage.ts';

export function worldOf(life: AgentLife<Ground>): World {
  const { stage } = life;
  const { watcher } = stage;
  return {
    clock: life.clock,
    random: () => life.random.next(),
    source: life.link.source,
    datapath: datapathOf(life),
    flows: flowsOf(life),
    network: networkOf(life),
    reserver: reserverOf(life),
    publisher: publisherOf(life),
    store: storeOf(life),
    recorder: {
      record: (event) => {
        if (!life.alive) return;
        note(stage, `  ${eventText(event)}`);
        if (event.kind === 'violation') watcher.fail(event.invariant, event.detail);
      },
    },
    registry: registryOf(life),
  };
}

function datapathOf(life: AgentLife<Ground>): Datapath {
  const { stage, datapath } = life;
  const { random, time, weather, watcher } = stage;
  const call = <T>(operation: 'datapath.read' | 'datapath.apply', detail: string, effect: () => Promise<T>) => {
    const slow = weather.nftSlow;
    weather.nftSlow = 0;
    if (slow > 0) {
      reached(stage, 'nft slow');
      weather.impair(time.now + slow);
    }
    return life.call(operation, detail, slow + random.between(0.05, 3), random.between(0, 1), async () => {
      if (time.now < weather.nftDownUntil) {
        reached(stage, 'nft unavailable');
        throw nftDown();
      }
      return effect();
    });
  };
  return {
    read: () =>
      call('datapath.read', '', async () => {
        const installed = await datapath.read();
        watcher.read(life);
        return installed;
      }),
    apply: (change) =>
      call('datapath.apply', changeText(change), async () => {
        obstruct(life, change);
        watcher.beforeApply(life);
        const added = new Set(change.add);
        datapath.refuses = (one) => added.has(one) && weather.guilty.has(one.comment.split('/')[0] as string);
        await datapath.apply(change);
        watcher.applied(life, change);
        if (!weather.nftReplyLost) return;
        weather.nftReplyLost = false;
        reached(stage, 'reply of nft lost');
        throw nftDown();
      }),
    watch: (onForeignChange, signal) =>
      datapath.watch(
        () => {
          if (time.now < weather.deafUntil) {
            reached(stage, 'notification lost');
            weather.impair(time.now + 70_000);
            return;
          }
          const late = time.now < weather.lateUntil;
          if (late) reached(stage, 'notification late');
          const delay = late ? random.between(500, 8_000) : random.between(1, 250);
          weather.impair(time.now + delay);
          life.after(delay, onForeignChange);
        },
        AbortSignal.any([signal, life.end]),
      ),
  };
}

/** Somebody else changes the table between the agent's read and its transaction. */
function obstruct({ stage }: AgentLife<Ground>, change: ElementChange): void {
  const { weather, node } = stage;
  const removed = new Set(change.remove.map(elementId));
  if (weather.obstruct === 'EEXIST') {
    const target = change.add.find((element) => element.value !== '' && !removed.has(elementId(element)));
    if (target === undefined) return;
    const value = target.key.includes(':') || target.set.endsWith('6') ? 'fd00:bad::1' : '10.66.66.66';
    if (!node.put({ ...target, value: target.set.includes('block') ? value : `${value} . 666`, comment: '' })) return;
    reached(stage, 'EEXIST');
  } else if (weather.obstruct === 'ENOENT') {
    const target = change.remove[0];
    if (target === undefined) return;
    node.ruleset.remove((element) => elementId(element) === elementId(target));
    reached(stage, 'ENOENT');
  } else return;
  weather.obstruct = undefined;
  stage.watcher.tampered();
}

function flowsOf(life: AgentLife<Ground>): World['flows'] {
  const { stage } = life;
  const { random, time, weather, watcher, node } = stage;
  return {
    purge: (ports, disagrees) => {
      const asked =
        ports === 'all' ? 'all' : ports.map(({ protocol, port, size }) => `${protocol}/${port}+${size}`).join(' ');
      return life.call('flows.purge', asked, random.between(0.1, 20), random.between(0, 20), async () => {
        if (time.now < weather.conntrackDownUntil) {
          reached(stage, 'conntrack unavailable');
          watcher.purgeFailed();
          throw new BerthError('NETLINK_FAILED', 'nf_conntrack is not loaded');
        }
        const before = node.flows.flows;
        const deleted = await node.flows.purge(ports, disagrees);
        watcher.purged(life, before, node.flows.flows);
        return deleted;
      });
    },
  };
}

function networkOf(life: AgentLife<Ground>): Network {
  const { stage } = life;
  const { node, time, weather, random } = stage;
  const { network } = node;
  return {
    addresses: () => {
      if (time.now < weather.addressesDownUntil) {
        reached(stage, 'addresses unreadable');
        throw new BerthError('NETLINK_FAILED', 'netlink: ENOBUFS');
      }
      return network.addresses();
    },
    route: (podIP) => network.route(podIP),
    openLoopback: (device) => network.openLoopback(device),
    loopbackOpen: (device) => network.loopbackOpen(device),
    openHairpin: (podIP, device) => network.openHairpin(podIP, device),
    watch: (onChange, signal) =>
      network.watch(
        () => {
          weather.impair(time.now + 50);
          life.after(random.between(0, 50), onChange);
        },
        AbortSignal.any([signal, life.end]),
      ),
  };
}

function reserverOf(life: AgentLife<Ground>): Reserver {
  const { stage } = life;
  const { node, watcher } = stage;
  const { reserver } = node;
  return {
    reserve: (one) =>
      life.sync('reserver.reserve', text(one), () => {
        const outcome = reserver.reserve(one);
        watcher.reserved(life, one, outcome);
        return outcome;
      }),
    release: (one) =>
      life.sync('reserver.release', text(one), () => {
        reserver.release(one);
        watcher.released(life, one);
      }),
    held: () => reserver.held(),
  };
}

function publisherOf(life: AgentLife<Ground>): Publisher {
  const { watcher } = life.stage;
  const { link } = life;
  return {
    publish: (pod, result) =>
      life.sync(
        'publisher.publish',
        `${pod.uid.slice(-3)} ${JSON.stringify(result.annotations)} ${result.condition?.reason}`,
        () => {
          watcher.published(life, pod, result);
          link.publisher.publish(pod, result);
        },
      ),
    event: (pod, event) =>
      life.sync('publisher.event', `${pod.uid.slice(-3)} ${event.reason}`, () => link.publisher.event(pod, event)),
    forget: (pod) => {
      if (life.alive) link.publisher.forget(pod);
    },
  };
}

function storeOf(life: AgentLife<Ground>): StateStore {
  const { stage } = life;
  const { random, time, weather, node, watcher } = stage;
  const { disk } = node;
  const delay = () => {
    const slow = time.now < weather.diskSlowUntil;
    if (slow) reached(stage, 'disk slow');
    return slow ? random.between(1_000, 20_000) : random.between(0.5, 12);
  };
  /** The disk ends the write that it is at, and goes on with the next. */
  const turn = () => {
    if (disk.fault !== undefined) reached(stage, 'disk full');
    disk.resume();
    disk.stalled = true;
    if (disk.unfinished) life.after(delay(), turn);
  };
  return {
    load: () =>
      life.call('store.load', '', random.between(0.1, 5), 0, async () => {
        watcher.loading(life);
        return disk.load();
      }),
    save: (state) =>
      life.call('store.save', `${state.grants.length} ${state.resting.length}`, 0, 0, () => {
        const idle = !disk.unfinished;
        const saved = disk.save(state);
        if (idle) life.after(delay(), turn);
        return saved;
      }),
  };
}

function registryOf(life: AgentLife<Ground>): Registry {
  const { watcher } = life.stage;
  const keyOf = (pod: PodRef, name: string, protocol: Protocol) => `${pod.uid}/${name}/${protocol}`;
  return {
    set: (mapping: Mapping) =>
      life.sync('registry.set', `${mapping.pod.uid.slice(-3)}/${mapping.name} ${mapping.hostPort}`, () => {
        life.announced.set(keyOf(mapping.pod, mapping.name, mapping.protocol), mapping);
        watcher.announced(life, mapping);
      }),
    delete: (pod, name, protocol) =>
      life.sync('registry.delete', `${pod.uid.slice(-3)}/${name}`, () => {
        life.announced.delete(keyOf(pod, name, protocol));
      }),
  };
}

function changeText({ remove, add }: ElementChange): string {
  return `-[${remove.map(elementId).join(', ')}] +[${add.map((element) => `${elementId(element)} ${element.value}`).join(', ')}]`;
}

function text({ protocol, port, hostIP }: Reservation): string {
  return `${protocol}/${port}${hostIP === undefined ? '' : `@${hostIP}`}`;
}

function eventText(event: AgentEvent): string {
  switch (event.kind) {
    case 'failure':
      return `failure ${event.operation}: ${event.error.message}`;
    case 'problem':
      return `problem ${event.pod.uid.slice(-3)} ${event.problem.reason}`;
    case 'recovered':
      return `recovered ${event.operation}`;
    default:
      return event.kind;
  }
}
