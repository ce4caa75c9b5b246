/** What goes wrong with nodes, their agents, the controller's replicas and the API server. */

import type { ApiLink } from '../../simulate/apilink.ts';
import type { NodeDirector } from '../../simulate/director.ts';
import { flush, troubleNft } from '../../simulate/kernelactions.ts';
import { calm, doom, kill, killSoon, reboot, terminate, troubleDisk } from '../../simulate/nodeactions.ts';
import type { Reach, Replicas } from '../replicas.ts';
import { classPath, type Rig } from '../rig.ts';
import type { Host } from './host.ts';

export interface TroublesOptions {
  readonly rig: Rig;
  readonly reach: Reach;
  readonly replicas: Replicas;
  readonly hosts: readonly Host[];
}

export class Troubles {
  readonly #options: TroublesOptions;

  constructor(options: TroublesOptions) {
    this.#options = options;
  }

  actions(): readonly (readonly [number, () => void])[] {
    const { rig, reach, replicas } = this.#options;
    return [
      [4, () => this.#onNode(doom)],
      [2, () => this.#onNode(kill)],
      [1, () => this.#onNode(killSoon)],
      [1.5, () => this.#onNode(terminate)],
      [2, () => this.#onNode(reboot)],
      [1, () => this.#onNode(troubleDisk)],
      [1.5, () => this.#onNode(flush)],
      [1, () => this.#onNode(troubleNft)],
      [3, () => this.#cutOff()],
      [2, () => this.#breakWatches()],
      [1, () => this.#silence()],
      [2, () => this.#delay()],
      [1.5, () => this.#awayForAll()],
      [2, () => replicas.kill()],
      [1, () => reach('a replica comes', replicas.alive.length < 4 && replicas.start())],
      [1, () => reach('a list is behind', this.#behind())],
      [1, () => reach('revisions are forgotten', rig.server.compact())],
      [1, () => this.#changeHandover()],
    ];
  }

  /** Nothing goes wrong any more. */
  end(): void {
    const { rig, replicas, hosts } = this.#options;
    rig.server.behind = 0;
    replicas.calm = true;
    if (replicas.alive.length === 0) replicas.start();
    for (const { director } of hosts) {
      calm(director);
      // A watch that is half-open would be found out in minutes only.
      director.life?.link.mend();
    }
  }

  #onNode(act: (director: NodeDirector) => void): void {
    act(this.#host().director);
  }

  #host(): Host {
    return this.#options.rig.random.pick(this.#options.hosts);
  }

  /** The node's agent reaches the API server no more. */
  #cutOff(): void {
    const { rig, reach } = this.#options;
    const { ground } = this.#host();
    ground.weather.apiDownUntil = reach('a node is cut off', rig.time.now + rig.random.pick([3_000, 20_000, 90_000]));
  }

  #breakWatches(): void {
    for (const watch of this.#watches()) watch.break();
  }

  #delay(): void {
    const { rig, reach } = this.#options;
    const { ground } = this.#host();
    ground.weather.lateUntil = reach('the watch of an agent is late', rig.time.now + rig.random.between(5_000, 60_000));
  }

  #silence(): void {
    for (const watch of this.#watches())
      this.#options.reach('a watch is half-open', Object.assign(watch, { silent: true }));
  }

  #watches() {
    const { life } = this.#host();
    return life === undefined ? [] : (life.link as ApiLink).transport.watches;
  }

  #awayForAll(): void {
    const { rig, replicas, hosts } = this.#options;
    const until = rig.time.now + rig.random.pick([1_000, 10_000, 40_000]);
    replicas.awayUntil = until;
    for (const { ground } of hosts) ground.weather.apiDownUntil = until;
  }

  #behind(): void {
    const { rig } = this.#options;
    rig.server.behind = rig.random.integer(0, 30);
  }

  #changeHandover(): void {
    const { rig, reach } = this.#options;
    if (rig.class('games') === undefined) return;
    const handover = rig.random.pick(['OnReady', 'OnTerminated']);
    reach('the hand-over of a class changes', rig.patch(classPath('games'), { spec: { handover } }));
  }
}
