/** One node of the cluster: what outlives its agents, and the agents, one after the other. */
import { decodeApiPod } from '../../../daemon/kube/apipod.ts';
import { ApiClaims } from '../../../daemon/kube/claims.ts';
import type { AgentLife, WrapWorld } from '../../simulate/agentlife.ts';
import { ApiLink } from '../../simulate/apilink.ts';
import { lagOf, wireOf } from '../../simulate/apiwire.ts';
import { Director } from '../../simulate/director.ts';
import type { Ground } from '../../simulate/ground.ts';
import { View } from '../../simulate/view.ts';
import type { Rig } from '../rig.ts';

export interface HostOptions {
  readonly name: string;
  readonly rig: Rig;
  readonly seed: number;
  readonly ground: Ground;
  readonly wrap: WrapWorld<Ground>;
}

export class Host {
  readonly name: string;
  readonly ground: Ground;
  readonly director: Director<Ground>;
  #addresses = 0;

  constructor({ name, rig, seed, ground, wrap }: HostOptions) {
    this.name = name;
    this.ground = ground;
    this.director = new Director<Ground>(
      ground,
      seed,
      (life) => linkOf(life, name, rig),
      (world, life) => wrap({ ...world, claims: new ApiClaims((life.link as ApiLink).api) }, life),
    );
  }

  /** The agent that runs. */
  get life(): AgentLife<Ground> | undefined {
    return this.director.life;
  }

  /** For a pod of this node; none is used twice. */
  newAddress(): string {
    const number = ++this.#addresses;
    const podIP = `10.${244 + Number(this.name.slice(-1))}.${number >> 8}.${number & 255}`;
    this.ground.node.network.setRoute({ podIP, device: 'cni0', bridge: true });
    return podIP;
  }
}

function linkOf(life: AgentLife<Ground>, node: string, { server, time }: Rig): ApiLink {
  const view = new View(
    () => time.now,
    () => {},
  );
  const { random, weather } = life.stage;
  const lag = () => (time.now < weather.lateUntil ? random.between(500, 8_000) : lagOf(life));
  return new ApiLink(life, { node, view, transport: wireOf(life, { server, decode: decodeApiPod, view, lag }) });
}
