/**
 * One run: a cluster with two or three replicas of the controller for some virtual minutes, everything from one number: what people
 * do, what goes wrong, and when. Leases keep the replicas apart in some runs; in the others each leads all the time.
 */
import type { ClaimApi } from '../../daemon/claims/ports.ts';
import type { Asked } from '../../daemon/kube/api/resources.double.ts';
import type { Journey } from '../../daemon/kube/api/transport.double.ts';
import { Judge, type Judged } from './judge.ts';
import { claimPath, classPath, hostPortPath, type Replica, Rig, type Thing } from './rig.ts';

const NAMESPACES = ['shop', 'arena'] as const;
const CALM_MS = 240_000;
const QUIET_MS = 60_000;
/** Of a whole collection. */
const LISTS = /\/(hostport\w+|statefulsets|namespaces|pods)$/;

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
  readonly #shared: boolean;
  #calm = false;
  #lives = 0;
  #things = 0;
  #late: readonly string[] = [];

  constructor(seed: number, options: SimulationOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#rig = new Rig(seed);
    this.#judge = new Judge(this.#rig);
    this.#shared = seed % 3 === 0;
    this.#meddle();
  }

  async play(): Promise<void> {
    const rig = this.#rig;
    const { random } = rig;
    for (const name of NAMESPACES) rig.createNamespace(name);
    rig.createClass('games', { pools: [{ start: 7000, end: 7000 + random.integer(2, 12) }] });
    if (this.#seed % 10 === 5) this.#burst();
    for (let count = random.integer(2, 3); count > 0; count--) this.#start();
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

  /** Some HostPorts are deleted by hand within moments of their making: while their claims become bound. */
  #meddle(): void {
    const { server, random, time } = this.#rig;
    const judged = server.onChange;
    server.onChange = (change) => {
      judged(change);
      const { name } = change.object.metadata;
      if (change.plural !== 'hostports' || change.type !== 'ADDED' || this.#calm || !random.chance(0.15)) return;
      time.after(random.between(0, 60), () => {
        if (this.#calm || this.#rig.hostPort(name) === undefined) return;
        this.#reach('a host port is deleted as soon as it is there', this.#rig.ask('DELETE', hostPortPath(name)));
      });
    };
  }

  /** Nothing goes wrong any more: everything must be as it should, and then nothing must be written. */
  async #settle(): Promise<void> {
    const rig = this.#rig;
    this.#calm = true;
    if (this.#alive.length === 0) this.#start();
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

  get #alive(): readonly Replica[] {
    return this.#rig.replicas.filter(({ alive }) => alive);
  }

  #start(): void {
    const { random } = this.#rig;
    const name = `replica-${++this.#lives}`;
    const slow = random.chance(0.3);
    this.#rig.start(name, {
      ...(this.#options.alter === undefined ? {} : { alter: this.#options.alter }),
      ...(this.#shared ? {} : { lease: name }),
      journey: (asked) => this.#journey(asked),
      lag: () => {
        if (this.#calm) return 1;
        if (slow && random.chance(0.3)) return this.#reach('a watch is behind for seconds', random.between(500, 8_000));
        return random.between(0, 40);
      },
      survives: ({ method }) => {
        if (this.#calm || method === 'GET' || !random.chance(0.01)) return true;
        return this.#reach('a replica dies before a write', false);
      },
    });
  }

  #journey({ method, path, query }: Asked): Journey {
    const { random } = this.#rig;
    if (this.#calm) return { there: 1, back: 1 };
    const isList = method === 'GET' && LISTS.test(path) && query.watch === undefined;
    if (isList && random.chance(0.3)) return this.#reach('a list is old when it comes', this.#slowly());
    const times = { there: random.between(0, 20), back: random.between(0, 20) };
    if (random.chance(0.02)) return this.#reach('a request is slow', { there: random.between(100, 6_000), back: 1 });
    if (!random.chance(0.05) || path.includes('leases')) return times;
    const fault = random.pick([
      { kind: 'replyLost' },
      { kind: 'refuseConnection' },
      { kind: 'status', code: 500 },
      { kind: 'status', code: 429, retryAfter: 1 },
      { kind: 'status', code: 409, reason: 'Conflict' },
    ] as const);
    const what = fault.kind === 'status' ? `an answer is ${fault.code}` : fault.kind;
    return this.#reach(method === 'GET' ? `${what}, to a read` : what, { ...times, fault });
  }

  #slowly(): Journey {
    return { there: 1, back: this.#rig.random.between(500, 8_000) };
  }

  #reach<T>(what: string, value: T): T {
    this.#reached.set(what, (this.#reached.get(what) ?? 0) + 1);
    return value;
  }

  #actions(): readonly (readonly [number, () => void])[] {
    const { server } = this.#rig;
    return [
      [12, () => this.#createClaim()],
      [6, () => this.#onClaim('a claim is deleted', (path) => this.#rig.ask('DELETE', path))],
      [2, () => this.#onClaim('the spec of a claim is changed', (path) => this.#rig.patch(path, this.#spec()))],
      [2, () => this.#createHostPort()],
      [3, () => this.#onHostPort('a host port is deleted', (name) => this.#rig.ask('DELETE', hostPortPath(name)))],
      [1, () => this.#onHostPort('a released host port is given back', (name) => this.#giveBack(name))],
      [2, () => this.#pods()],
      [2, () => this.#class()],
      [2, () => this.#kill()],
      [1, () => this.#reach('a replica comes', this.#alive.length < 4 && this.#start())],
      [1, () => this.#reach('revisions are forgotten', server.compact())],
      ...(this.#seed % 4 === 2 && this.#options.force !== false ? [[3, () => this.#force()] as const] : []),
    ];
  }

  #burst(): void {
    this.#reach('200 claims at once', undefined);
    this.#rig.patch(classPath('games'), { spec: { pools: [{ start: 7000, end: 7150 }] } });
    for (let index = 0; index < 200; index++)
      this.#rig.createClaim('shop', `many-${index}`, { hostPortClassName: 'games' });
  }

  #spec(): object {
    const { random } = this.#rig;
    const hostPortName = random.chance(0.3) ? `hp-${random.integer(6_999, 7_006)}` : '';
    return { spec: { hostPortClassName: random.chance(0.9) ? 'games' : 'voice', hostPortName } };
  }

  #createClaim(): void {
    const { random } = this.#rig;
    const namespace = random.pick(NAMESPACES);
    const name = random.chance(0.5) ? `claim-${random.integer(1, 4)}` : `claim-${++this.#things}`;
    if (this.#rig.claim(namespace, name) !== undefined) return;
    this.#reach('a claim is made', undefined);
    this.#rig.ask('POST', claimPath(namespace), { metadata: { name }, ...this.#spec() });
  }

  #onClaim(what: string, act: (path: string) => void): void {
    const claims = this.#rig.claims();
    if (claims.length === 0) return;
    const { namespace = '', name } = this.#rig.random.pick(claims).metadata;
    this.#reach(what, act(claimPath(namespace, name)));
  }

  #onHostPort(what: string, act: (name: string) => void): void {
    const hostPorts = this.#rig.hostPorts();
    if (hostPorts.length > 0) this.#reach(what, act(this.#rig.random.pick(hostPorts).metadata.name));
  }

  /** By an administrator who looked at what it is. */
  #giveBack(name: string): void {
    if (this.#rig.hostPort(name).status?.phase === 'Released') {
      this.#rig.patch(hostPortPath(name), { spec: { claimRef: null } });
    }
  }

  #createHostPort(): void {
    const { random } = this.#rig;
    const name = `hp-${random.integer(6_998, 7_008)}`;
    if (this.#rig.hostPort(name) !== undefined) return;
    const claimRef = { namespace: random.pick(NAMESPACES), name: `claim-${random.integer(1, 4)}` };
    const spec = {
      hostPortClassName: random.chance(0.8) ? 'games' : 'voice',
      ...(random.chance(0.6) ? { claimRef } : {}),
    };
    this.#reach('an administrator makes a host port', this.#rig.createHostPort(name, spec));
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
    this.#rig.createPod(namespace, `pod-${++this.#things}`, { 'claim.berth.dev/web': name });
    this.#reach('a pod uses a claim', undefined);
  }

  #class(): void {
    const { random } = this.#rig;
    const found: Thing = this.#rig.class('games');
    const last = 7_000 + random.integer(0, 12);
    if (found === undefined) {
      this.#reach('a class comes again', this.#rig.createClass('games', { pools: [{ start: 7000, end: last }] }));
    } else if (random.chance(0.15)) {
      this.#reach('a class is deleted', this.#rig.ask('DELETE', classPath('games')));
    } else if (random.chance(0.4)) {
      const reclaimPolicy = random.pick(['Delete', 'Retain']);
      this.#reach('the reclaim policy changes', this.#rig.patch(classPath('games'), { spec: { reclaimPolicy } }));
    } else {
      this.#reach(
        'the pool changes',
        this.#rig.patch(classPath('games'), { spec: { pools: [{ start: 7000, end: last }] } }),
      );
    }
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

  #kill(): void {
    const alive = this.#alive;
    if (alive.length > 0) this.#reach('a replica is killed', this.#rig.random.pick(alive).kill());
    this.#start();
  }
}
