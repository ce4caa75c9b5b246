/** What people do with claims, HostPorts and classes in a simulation: tenants, and administrators who use no force. */
import type { Reach } from './replicas.ts';
import { claimPath, classPath, hostPortPath, type Rig, type Thing } from './rig.ts';

export const NAMESPACES = ['shop', 'arena'] as const;

export interface PeopleOptions {
  readonly rig: Rig;
  readonly reach: Reach;
}

export class People {
  readonly #options: PeopleOptions;
  #things = 0;
  /** Nobody deletes any more what was just made. */
  calm = false;

  constructor(options: PeopleOptions) {
    this.#options = options;
  }

  /** A number that nothing else has in its name. */
  fresh(): number {
    return ++this.#things;
  }

  /** Some HostPorts are deleted by hand within moments of their making: while their claims become bound. */
  meddle(): void {
    const { server, random, time } = this.#options.rig;
    const judged = server.onChange;
    server.onChange = (change) => {
      judged(change);
      const { name } = change.object.metadata;
      if (change.plural !== 'hostports' || change.type !== 'ADDED' || this.calm || !random.chance(0.15)) return;
      time.after(random.between(0, 60), () => {
        if (this.calm || this.#options.rig.hostPort(name) === undefined) return;
        this.#options.reach(
          'a host port is deleted as soon as it is there',
          this.#options.rig.ask('DELETE', hostPortPath(name)),
        );
      });
    };
  }

  actions(): readonly (readonly [number, () => void])[] {
    const { rig } = this.#options;
    return [
      [12, () => this.#createClaim()],
      [6, () => this.#onClaim('a claim is deleted', (path) => rig.ask('DELETE', path))],
      [2, () => this.#onClaim('the spec of a claim is changed', (path) => rig.patch(path, this.#spec()))],
      [2, () => this.#createHostPort()],
      [3, () => this.#onHostPort('a host port is deleted', (name) => rig.ask('DELETE', hostPortPath(name)))],
      [1, () => this.#onHostPort('a released host port is given back', (name) => this.#giveBack(name))],
    ];
  }

  burst(): void {
    this.#options.reach('200 claims at once', undefined);
    this.#options.rig.patch(classPath('games'), { spec: { pools: [{ start: 7000, end: 7150 }] } });
    for (let index = 0; index < 200; index++)
      this.#options.rig.createClaim('shop', `many-${index}`, { hostPortClassName: 'games' });
  }

  #spec(): object {
    const { random } = this.#options.rig;
    const hostPortName = random.chance(0.3) ? `hp-${random.integer(6_999, 7_006)}` : '';
    return { spec: { hostPortClassName: random.chance(0.9) ? 'games' : 'voice', hostPortName } };
  }

  #createClaim(): void {
    const { random } = this.#options.rig;
    const namespace = random.pick(NAMESPACES);
    const name = random.chance(0.5) ? `claim-${random.integer(1, 4)}` : `claim-${this.fresh()}`;
    if (this.#options.rig.claim(namespace, name) !== undefined) return;
    this.#options.reach('a claim is made', undefined);
    this.#options.rig.ask('POST', claimPath(namespace), { metadata: { name }, ...this.#spec() });
  }

  #onClaim(what: string, act: (path: string) => void): void {
    const claims = this.#options.rig.claims();
    if (claims.length === 0) return;
    const { namespace = '', name } = this.#options.rig.random.pick(claims).metadata;
    this.#options.reach(what, act(claimPath(namespace, name)));
  }

  #onHostPort(what: string, act: (name: string) => void): void {
    const hostPorts = this.#options.rig.hostPorts();
    if (hostPorts.length > 0) this.#options.reach(what, act(this.#options.rig.random.pick(hostPorts).metadata.name));
  }

  /** By an administrator who looked at what it is. */
  #giveBack(name: string): void {
    if (this.#options.rig.hostPort(name).status?.phase === 'Released') {
      this.#options.rig.patch(hostPortPath(name), { spec: { claimRef: null } });
    }
  }

  #createHostPort(): void {
    const { random } = this.#options.rig;
    const name = `hp-${random.integer(6_998, 7_008)}`;
    if (this.#options.rig.hostPort(name) !== undefined) return;
    const claimRef = { namespace: random.pick(NAMESPACES), name: `claim-${random.integer(1, 4)}` };
    const spec = {
      hostPortClassName: random.chance(0.8) ? 'games' : 'voice',
      ...(random.chance(0.6) ? { claimRef } : {}),
    };
    this.#options.reach('an administrator makes a host port', this.#options.rig.createHostPort(name, spec));
  }

  changeClass(): void {
    const { random } = this.#options.rig;
    const found: Thing = this.#options.rig.class('games');
    const last = 7_000 + random.integer(0, 12);
    if (found === undefined) {
      this.#options.reach(
        'a class comes again',
        this.#options.rig.createClass('games', { pools: [{ start: 7000, end: last }] }),
      );
    } else if (random.chance(0.15)) {
      this.#options.reach('a class is deleted', this.#options.rig.ask('DELETE', classPath('games')));
    } else if (random.chance(0.4)) {
      const reclaimPolicy = random.pick(['Delete', 'Retain']);
      this.#options.reach(
        'the reclaim policy changes',
        this.#options.rig.patch(classPath('games'), { spec: { reclaimPolicy } }),
      );
    } else {
      this.#options.reach(
        'the pool changes',
        this.#options.rig.patch(classPath('games'), { spec: { pools: [{ start: 7000, end: last }] } }),
      );
    }
  }
}
