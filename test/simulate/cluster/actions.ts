/** What can happen to a cluster, and how often. */

import type { Machine } from './machine.ts';
import type { Scene } from './simulation.ts';
import { note } from './stage.ts';

export type ClusterAction = (scene: Scene) => void;

function anyMachine({ stage, machines }: Scene): Machine {
  return stage.random.pick(machines.filter(({ id, node }) => id === node));
}

function changeOne(scene: Scene): void {
  const { random } = scene.stage;
  const machine = random.chance(0.1) ? random.pick(scene.machines) : anyMachine(scene);
  const pod = random.chance(0.2) ? `big-${random.integer(0, 150)}` : `pod-${random.integer(0, 5)}`;
  machine.change(pod, random.chance(0.7) ? random.integer(20_000, 20_009) : undefined);
}

function changeMany(scene: Scene): void {
  const { random, counts } = scene.stage;
  const machine = anyMachine(scene);
  for (let count = random.integer(5, 120); count > 0; count--) {
    machine.change(`big-${random.integer(0, 150)}`, random.chance(0.8) ? random.integer(20_000, 20_009) : undefined);
  }
  if (machine.runningSince !== undefined) counts.reached('history of the agent too short');
}

function killAgent(scene: Scene): void {
  const machine = anyMachine(scene);
  if (machine.runningSince === undefined) return;
  machine.kill();
  scene.stage.counts.reached('agent killed');
}

function startAgent(scene: Scene): void {
  const machine = anyMachine(scene);
  if (machine.runningSince !== undefined) return;
  machine.start();
  scene.stage.counts.reached('agent restarted');
}

function powerOff(scene: Scene): void {
  anyMachine(scene).powerOff();
  scene.stage.counts.reached('node powered off');
}

function killReplica(scene: Scene): void {
  const replica = scene.stage.random.pick(scene.replicas);
  if (!replica.alive) return;
  replica.kill();
  scene.network.end({ replica: replica.name }, scene.stage.random.chance(0.2));
  scene.clients.find((client) => client.replica === replica)?.lost();
  scene.stage.counts.reached('replica killed');
}

function startReplica(scene: Scene): void {
  const replica = scene.stage.random.pick(scene.replicas);
  if (replica.alive) return;
  replica.start();
  scene.stage.counts.reached('replica restarted');
}

/** A stopped loop: its sockets fill, its timers come late. */
function stallReplica({ stage, replicas, machines, network }: Scene): void {
  const replica = stage.random.pick(replicas);
  const ms = stage.random.between(1_000, 12_000);
  replica.stall(stage.time.now + ms);
  stage.counts.reached('replica stalled');
  for (const { id } of machines) network.path(id, replica.name).replicaReads = false;
  stage.time.after(ms, () => {
    for (const { id } of machines) network.path(id, replica.name).replicaReads = true;
    network.pump();
  });
}

function breakPath(scene: Scene): void {
  const { stage, network, replicas } = scene;
  const path = network.path(anyMachine(scene).id, stage.random.pick(replicas).name);
  const [fault, broken] = stage.random.pick([
    ['partition', { up: false, down: false }],
    ['one-way partition, to the replica', { up: false }],
    ['one-way partition, to the agent', { down: false }],
    ['replica reads nothing', { replicaReads: false }],
    ['agent reads nothing', { agentReads: false }],
  ] as const);
  note(stage, fault);
  Object.assign(path, broken);
  stage.counts.reached(fault);
}

function heal({ network, stage }: Scene): void {
  note(stage, 'healed');
  network.healAll();
}

/** Everything is cut, and healed in another order. */
function swizzle({ stage, network, machines, replicas }: Scene): void {
  const { random, time } = stage;
  stage.counts.reached('swizzle');
  for (const { id } of machines) {
    for (const { name } of replicas) {
      const path = network.path(id, name);
      time.after(random.between(0, 10_000), () => Object.assign(path, { up: false, down: false }));
      time.after(random.between(10_000, 60_000), () => {
        Object.assign(path, { up: true, down: true });
        network.pump();
      });
    }
  }
}

function cutStream(scene: Scene): void {
  const { id } = anyMachine(scene);
  const { name } = scene.stage.random.pick(scene.replicas);
  if (!scene.network.cut(id, name)) return;
  scene.judge.disturbed(`${id}>${name}`);
  scene.stage.counts.reached('stream cut');
}

function makeMischief(scene: Scene): void {
  const { stage, network, replicas, judge } = scene;
  const { id } = anyMachine(scene);
  const { name } = stage.random.pick(replicas);
  network.path(id, name).mischief = stage.random.pick(['lose', 'garbage', 'newer'] as const);
  judge.disturbed(`${id}>${name}`);
}

function pauseWatcher({ stage, clients }: Scene): void {
  const client = stage.random.pick(clients);
  client.pause();
  stage.time.after(stage.random.between(1_000, 60_000), () => client.resume());
}

/** A second machine comes up under the name of the first, and goes again some time. */
function duplicate(scene: Scene): void {
  const { stage, machines, judge } = scene;
  const other = machines.find(({ id, node }) => id !== node) as Machine;
  judge.contested.set(other.node, stage.time.now + 120_000);
  if (other.runningSince !== undefined) return;
  other.start();
  other.change('pod-0', 20_042);
  stage.counts.reached('duplicate node name');
  stage.time.after(stage.random.between(1_000, 120_000), () => other.kill());
}

function jumpClock({ stage }: Scene): void {
  const forward = stage.random.chance(0.5);
  stage.time.wallOffset += forward ? 3_600_000 : -3_600_000;
  stage.counts.reached(forward ? 'clock forward' : 'clock back');
}

export const CLUSTER_ACTIONS: readonly (readonly [weight: number, action: ClusterAction])[] = [
  [16, changeOne],
  [3, changeMany],
  [2, killAgent],
  [5, startAgent],
  [0.6, powerOff],
  [1.2, killReplica],
  [3, startReplica],
  [1, stallReplica],
  [3, breakPath],
  [2.5, heal],
  [0.6, swizzle],
  [1.5, cutStream],
  [2, makeMischief],
  [1.5, pauseWatcher],
  [0.4, duplicate],
  [0.5, jumpClock],
];
