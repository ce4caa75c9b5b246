/**
 * One run: a cluster with two or three replicas of the controller for some virtual minutes, everything from one number: what people
 * do, what goes wrong, and when. Leases keep the replicas apart in some runs; in the others each leads all the time.
 */
import type { ClaimApi } from '../../daemon/claims/ports.ts';
import { Judge, type Judged } from './judge.ts';
import { NAMESPACES, People } from './people.ts';
import { type Reach, Replicas } from './replicas.ts';
import { hostPortPath, Rig } from './rig.ts';

const CALM_MS = 240_000;
const QUIET_MS = 60_000;

export interface SimulationOptions {
  readonly alter?: (api: ClaimApi) => ClaimApi;
  /** False: nobody uses force, in no run. Where somebody does, a number may be with two claims for a while. */
  readonly force?: boolean;
}

export interface SimulationResult {
  readonly seed: number;
  readonly violation: Judged | undefined;
  /** How often each thing happened. */
  readonly reached: ReadonlyMap<string, number>;
  /** Of everything at the end: the same for the same seed. */
  readonly fingerprint: string;
  readonly bound: number;
}

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationResult> {
  await using run = new Run(seed, options);
  await run.play();
  return run.result();
}

class Run implements AsyncDisposable {
  readonly #rig: Rig;
  readonly #judge: Judge;
  readonly #seed: number;
  readonly #options: SimulationOptions;
  readonly #reached = new Map<string, number>();
  readonly #people: People;
  readonly #replicas: Replicas;
  #late: readonly string[] = [];

  constructor(seed: number, options: SimulationOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#rig = new Rig(seed);
    this.#judge = new Judge(this.#rig);
    const [rig, reach] = [this.#rig, this.#reach];
    this.#people = new People({ rig, reach });
    this.#replicas = new Replicas({ rig, reach, shared: seed % 3 === 0, alter: options.alter });
    this.#people.meddle();
  }

  async play(): Promise<void> {
    const rig = this.#rig;
    const { random } = rig;
    for (const name of NAMESPACES) rig.createNamespace(name);
    rig.createClass('games', { pools: [{ start: 7000, end: 7000 + random.integer(2, 12) }] });
    if (this.#seed % 10 === 5) this.#people.burst();
    for (let count = random.integer(2, 3); count > 0; count--) this.#replicas.start();
    for (let left = random.integer(30, 100); left > 0 && this.#judge.violation === undefined; left--) {
      await rig.run(random.chance(0.6) ? random.between(0, 60) : random.between(0, 4_000));
      random.weighted(this.#actions())();
    }
    await this.#settle();
  }

  result(): SimulationResult {
    const [late] = this.#late;
    const objects = [...this.#rig.claims(), ...this.#rig.hostPorts()];
    return {
      seed: this.#seed,
      violation: this.#judge.violation ?? (late === undefined ? undefined : { rule: 'it converges', detail: late }),
      reached: this.#reached,
      fingerprint: JSON.stringify(objects),
      bound: this.#judge.bound,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#rig[Symbol.asyncDispose]();
  }

  /** Nothing goes wrong any more: everything must be as it should, and then nothing must be written. */
  async #settle(): Promise<void> {
    const rig = this.#rig;
    this.#people.calm = true;
    this.#replicas.calm = true;
    if (this.#replicas.alive.length === 0) this.#replicas.start();
    await rig.run(CALM_MS);
    if (this.#judge.violation !== undefined) return;
    const { revision } = rig.server;
    const leases = () => rig.server.all('leases').reduce((sum, one) => sum + Number(one.metadata.resourceVersion), 0);
    const before = leases();
    const writes: string[] = [];
    const judged = rig.server.onChange;
    rig.server.onChange = (change) => {
      judged(change);
      if (change.plural !== 'leases') writes.push(`${change.type} ${change.plural} ${change.object.metadata.name}`);
    };
    await rig.run(QUIET_MS);
    if (rig.server.revision === revision || leases() === before) this.#late = ['nobody leads'];
    else this.#late = [...this.#judge.atRest(), ...writes.map((one) => `it is written at rest: ${one}`)];
  }

  readonly #reach: Reach = (what, value) => {
    this.#reached.set(what, (this.#reached.get(what) ?? 0) + 1);
    return value;
  };

  #actions(): readonly (readonly [number, () => void])[] {
    const { server } = this.#rig;
    const replicas = this.#replicas;
    return [
      ...this.#people.actions(),
      [2, () => this.#pods()],
      [2, () => this.#people.changeClass()],
      [2, () => replicas.kill()],
      [1, () => this.#reach('a replica comes', replicas.alive.length < 4 && replicas.start())],
      [1, () => this.#reach('revisions are forgotten', server.compact())],
      ...(this.#seed % 4 === 2 && this.#options.force !== false ? [[3, () => this.#force()] as const] : []),
    ];
  }

  #pods(): void {
    const { random } = this.#rig;
    const pods = this.#rig.server.all('pods');
    if (pods.length > 0 && random.chance(0.5)) {
      const { namespace, name } = random.pick(pods).metadata;
      this.#rig.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, { status: { phase: 'Failed' } });
      this.#reach('a pod ends', undefined);
      return;
    }
    const claims = this.#rig.claims();
    if (claims.length === 0) return;
    const { namespace = '', name } = random.pick(claims).metadata;
    this.#rig.createPod(namespace, `pod-${this.#people.fresh()}`, { 'claim.berth.dev/web': name });
    this.#reach('a pod uses a claim', undefined);
  }

  /** As somebody who may do everything and knows no better. */
  #force(): void {
    const { random, server } = this.#rig;
    const hostPorts = this.#rig.hostPorts();
    if (hostPorts.length === 0) return;
    const { name } = random.pick(hostPorts).metadata;
    this.#judge.forced = true;
    if (random.chance(0.6)) {
      this.#reach('a host port is removed by force', server.force('hostports', name));
      return;
    }
    const claims = this.#rig.claims();
    const { namespace, name: claim, uid } = random.chance(0.5) && claims.length > 0 ? random.pick(claims).metadata : {};
    const claimRef = claim === undefined ? null : { namespace, name: claim, uid };
    this.#reach('a claimRef is changed by hand', this.#rig.patch(hostPortPath(name), { spec: { claimRef } }));
  }
}
