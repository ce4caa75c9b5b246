/** What happens to the node, its disk, its clock, and to the agent as a process. */

import { BerthError } from '../../daemon/core/errors.ts';
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Protocol, Reservation } from '../../daemon/core/vocabulary.ts';
import type { Director, NodeDirector } from './director.ts';
import { OPERATIONS } from './faults.ts';
import type { Action } from './podactions.ts';
import { POOLS, SHRUNK } from './pools.ts';
import { HOME, SECOND, THIRD } from './simnode.ts';
import { reached } from './stage.ts';
import { rulesOf } from './table.ts';

const HOUR = 3_600_000;

export function doom({ stage, life }: NodeDirector): void {
  if (life === undefined || !stage.weather.rough) return;
  const { random } = stage;
  life.doom = {
    operation: random.pick(OPERATIONS),
    when: random.pick(['before', 'after']),
    calls: random.integer(1, 4),
  };
}

/** The next agent dies while it takes over. */
export function killSoon(director: NodeDirector): void {
  kill(director);
  const { time, random } = director.stage;
  time.after(random.between(0, 3_000), () => doom(director));
}

export function kill({ stage, life }: NodeDirector): void {
  if (life === undefined) return;
  reached(stage, 'killed at rest');
  life.kill('at rest');
}

export function terminate({ life }: NodeDirector): void {
  life?.terminate();
}

export function reboot(director: NodeDirector): void {
  const { stage, life } = director;
  reached(stage, 'reboot');
  director.nextDelay = stage.random.between(500, 20_000);
  life?.kill('by a reboot');
  stage.node.reboot();
  stage.watcher.tampered();
}

export function troubleDisk({ stage }: NodeDirector): void {
  const { random, node, weather, time } = stage;
  if (random.chance(0.5)) {
    weather.diskSlowUntil = time.now + random.between(1_000, 30_000);
    return;
  }
  node.disk.fault = new BerthError('STATE_UNUSABLE', 'ENOSPC: no space left on device');
  time.after(random.between(500, 40_000), () => {
    node.disk.fault = undefined;
  });
}

/** The file is found in another state than the last agent left it in. */
function spoilState(director: Director): void {
  const { stage, life } = director;
  const { random, node } = stage;
  life?.kill('before its state file is spoilt');
  const { text } = node.disk;
  if (text === undefined || node.formerStates.length === 0) return;
  const kind = random.pick(['torn', 'garbage', 'old', 'missing'] as const);
  reached(stage, `state file ${kind}`);
  if (kind === 'torn') node.disk.text = text.slice(0, random.integer(0, text.length - 2));
  else if (kind === 'garbage') node.disk.text = random.pick(['\u0000\u0000', '{"version":2}', '{}', '[1,2]']);
  else if (kind === 'old') node.disk.text = random.pick(node.formerStates);
  else node.disk.text = undefined;
}

function jumpClock({ stage }: Director): void {
  const forward = stage.random.chance(0.5);
  reached(stage, forward ? 'clock forward' : 'clock back');
  stage.time.wallOffset += forward ? HOUR : -HOUR;
}

function exhaustDescriptors({ stage }: Director): void {
  const { random, node, weather, time } = stage;
  reached(stage, 'no descriptors');
  node.reserver.exhausted = 'EMFILE: too many open files';
  const ms = random.between(500, 20_000);
  // A number that could not be reserved is tried again after 5 s.
  weather.impair(time.now + ms + 6_000);
  time.after(ms, () => {
    node.reserver.exhausted = undefined;
  });
}

function changeAddresses({ stage }: Director): void {
  const { random, node } = stage;
  const pool = [...HOME, SECOND, THIRD];
  const present = node.addresses;
  const absent = pool.filter((one) => !present.includes(one));
  const removable = present.filter((one) => one !== HOME[0]);
  const adds = absent.length > 0 && (removable.length === 0 || random.chance(0.6));
  reached(stage, adds ? 'address added' : 'address removed');
  const gone = adds ? undefined : random.pick(removable);
  node.setAddresses(adds ? [...present, random.pick(absent)] : present.filter((one) => one !== gone));
  if (gone !== undefined) stage.watcher.flows.addressGone(gone.address);
  stage.watcher.settingsChanged();
}

function loseAddresses({ stage }: Director): void {
  const { random, weather, time } = stage;
  weather.addressesDownUntil = time.now + random.between(10, 5_000);
  // Before an agent has read them once it can do nothing; a failed reading is tried again after 1 s.
  weather.impair(weather.addressesDownUntil + 1_500);
  stage.node.network.changed();
}

function resetLoopback({ stage }: Director): void {
  const [device] = stage.node.network.loopbacks;
  if (device === undefined) return;
  reached(stage, 'route_localnet reset');
  stage.node.network.closeLoopback(device);
}

/** Another process binds a number of a pool; one that an agent holds is refused to it. */
function takeNumber({ stage, life }: Director): void {
  const { random, node, time } = stage;
  const rules = rulesOf(node.ruleset.elements());
  const rule = rules.length > 0 && random.chance(0.5) ? random.pick(rules) : undefined;
  const protocol: Protocol = rule?.protocol === 'UDP' ? 'UDP' : 'TCP';
  const port = rule?.first ?? random.integer(20_000, 20_040);
  const reservation: Reservation = random.chance(0.8) ? { protocol, port } : { protocol, port, hostIP: '192.0.2.10' };
  if (!node.occupy(reservation)) return;
  reached(stage, life === undefined ? 'number taken while no agent ran' : 'number taken by a process', String(port));
  time.after(random.between(1_000, 60_000), () => {
    if (!node.processes.has(reservation)) return;
    node.vacate(reservation);
    reached(stage, 'number given back by a process', String(port));
  });
}

function changePools({ stage, life }: Director): void {
  const shrunk = stage.pools === POOLS;
  if (shrunk) reached(stage, 'pool shrunk');
  const pools: readonly PoolConfig[] = shrunk ? SHRUNK : POOLS;
  stage.pools = pools;
  life?.loop?.setPools(pools);
  stage.watcher.settingsChanged();
}

function silenceSource({ stage, life }: Director): void {
  if (life === undefined) return;
  const { random } = stage;
  const hour = random.chance(0.1);
  if (hour) reached(stage, 'source silent for an hour');
  life.link.silence(hour ? HOUR : random.between(500, 30_000));
}

function troubleApi({ stage }: Director): void {
  const { random, weather, time } = stage;
  if (random.chance(0.5)) weather.getsDownUntil = time.now + random.between(100, 20_000);
  else weather.writesLostUntil = time.now + random.between(100, 20_000);
}

export const NODE_ACTIONS: readonly (readonly [number, Action])[] = [
  [7, doom],
  [3, killSoon],
  [2, kill],
  [2.5, terminate],
  [1.2, reboot],
  [2.5, troubleDisk],
  [2, spoilState],
  [1, jumpClock],
  [1, exhaustDescriptors],
  [1.5, changeAddresses],
  [0.5, loseAddresses],
  [0.5, resetLoopback],
  [4, takeNumber],
  [1, changePools],
  [1, silenceSource],
  [1, troubleApi],
];

/** Everything that the faults have changed is as it should be. */
export function calm({ stage, life }: NodeDirector): void {
  stage.weather.clear();
  // What was refused is tried again after at most a minute.
  stage.weather.impair(stage.time.now + 61_000);
  if (life !== undefined) life.doom = undefined;
  stage.node.disk.fault = undefined;
  stage.node.reserver.exhausted = undefined;
  stage.node.network.unlearnt.clear();
}
