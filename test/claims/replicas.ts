/** The replicas of the controller in a simulation, and what goes wrong between each of them and the API server. */
import type { ClaimApi } from '../../daemon/claims/ports.ts';
import type { Asked } from '../../daemon/kube/api/resources.double.ts';
import type { Journey } from '../../daemon/kube/api/transport.double.ts';
import type { Replica, Rig } from './rig.ts';

/** Of a whole collection. */
const LISTS = /\/(hostport\w+|statefulsets|namespaces|pods)$/;

/** Counts that this happened, and hands on what came of it. */
export type Reach = <T>(what: string, value: T) => T;

export interface ReplicasOptions {
  readonly rig: Rig;
  readonly reach: Reach;
  /** One Lease keeps them apart; otherwise each leads all the time. */
  readonly shared: boolean;
  readonly alter?: ((api: ClaimApi) => ClaimApi) | undefined;
}

export class Replicas {
  readonly #options: ReplicasOptions;
  #lives = 0;
  /** Nothing goes wrong any more. */
  calm = false;
  /** The API server is away until then, in virtual ms. */
  awayUntil = 0;

  constructor(options: ReplicasOptions) {
    this.#options = options;
  }

  get alive(): readonly Replica[] {
    return this.#options.rig.replicas.filter(({ alive }) => alive);
  }

  start(): void {
    const { rig, reach, shared, alter } = this.#options;
    const { random } = rig;
    const name = `replica-${++this.#lives}`;
    const slow = random.chance(0.3);
    rig.start(name, {
      ...(alter === undefined ? {} : { alter }),
      ...(shared ? {} : { lease: name }),
      journey: (asked) => this.#journey(asked),
      lag: () => {
        if (this.calm) return 1;
        if (slow && random.chance(0.3)) return reach('a watch is behind for seconds', random.between(500, 8_000));
        return random.between(0, 40);
      },
      survives: ({ method }) => {
        if (this.calm || method === 'GET' || !random.chance(0.01)) return true;
        return reach('a replica dies before a write', false);
      },
    });
  }

  /** Another one comes in its place. */
  kill(): void {
    const { rig, reach } = this.#options;
    const { alive } = this;
    if (alive.length > 0) reach('a replica is killed', rig.random.pick(alive).kill());
    this.start();
  }

  #journey({ method, path, query }: Asked): Journey {
    const { rig, reach } = this.#options;
    const { random } = rig;
    if (this.calm) return { there: 1, back: 1 };
    const isList = method === 'GET' && LISTS.test(path) && query.watch === undefined;
    if (isList && random.chance(0.3))
      return reach('a list is old when it comes', { there: 1, back: random.between(500, 8_000) });
    const times = { there: random.between(0, 20), back: random.between(0, 20) };
    if (rig.time.now < this.awayUntil)
      return reach('API server away', { ...times, fault: { kind: 'refuseConnection' } });
    if (random.chance(0.02)) return reach('a request is slow', { there: random.between(100, 6_000), back: 1 });
    if (!random.chance(0.05) || path.includes('leases')) return times;
    const fault = random.pick([
      { kind: 'replyLost' },
      { kind: 'refuseConnection' },
      { kind: 'status', code: 500 },
      { kind: 'status', code: 429, retryAfter: 1 },
      { kind: 'status', code: 409, reason: 'Conflict' },
    ] as const);
    const what = fault.kind === 'status' ? `an answer is ${fault.code}` : fault.kind;
    return reach(method === 'GET' ? `${what}, to a read` : what, { ...times, fault });
  }
}
