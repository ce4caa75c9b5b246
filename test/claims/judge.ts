/**
 * Looks at the API server after every change of it, and knows what must never be there, whoever did it: nothing of the controller is
 * used to judge it.
 */
import type { StoredObject } from '../../daemon/kube/api/objects.double.ts';
import type { Rig, Thing } from './rig.ts';

export interface Judged {
  readonly rule: string;
  readonly detail: string;
}

export class Judge {
  readonly #rig: Rig;
  /** By uid of the claim: the host port that it was given. */
  readonly #given = new Map<string, string>();
  /** By uid of the claim: the uids of the pods that named it when its phase became Deleting, without those that came when it was being deleted. */
  readonly #users = new Map<string, readonly string[]>();
  #first: Judged | undefined;
  bound = 0;
  /** Somebody has used force: for a while a number may be with two claims, and must not be in the end. */
  forced = false;

  constructor(rig: Rig) {
    this.#rig = rig;
    rig.server.onChange = ({ type, plural, object }) => {
      if (plural === 'hostportclaims') this.#claim(type, object);
      if (plural === 'hostports') this.#look();
    };
  }

  /** What was wrong first. */
  get violation(): Judged | undefined {
    return this.#first;
  }

  #wrong(rule: string, detail: string): void {
    if (this.forced && rule !== 'number kept' && rule !== 'in use') return;
    this.#first ??= { rule, detail: `${detail} at ${Math.round(this.#rig.time.now)} ms` };
  }

  #claim(type: string, claim: Thing): void {
    const { uid, namespace, name } = claim.metadata;
    const label = `claim ${namespace}/${name} (${uid})`;
    const hostPortName: string | undefined = claim.status?.hostPortName;
    const before = this.#given.get(uid);
    if (type === 'DELETED') {
      const users = (this.#users.get(uid) ?? []).filter((pod) => this.#isUsing(pod));
      if (users.length > 0) this.#wrong('in use', `${label} is gone, and ${users.join(', ')} needs ${before}`);
      this.#given.delete(uid);
      this.#users.delete(uid);
      return;
    }
    if (before !== undefined && before !== hostPortName) {
      this.#wrong('number kept', `${label} had ${before} and has ${hostPortName}`);
    }
    if (hostPortName !== undefined && before === undefined) this.#bind(claim, label, hostPortName);
    if (claim.status?.phase === 'Deleting' && !this.#users.has(uid))
      this.#users.set(uid, this.#usersOf(namespace, name, claim.metadata.deletionTimestamp));
    this.#look();
  }

  #bind(claim: Thing, label: string, hostPortName: string): void {
    const { uid } = claim.metadata;
    this.#given.set(uid, hostPortName);
    this.bound++;
    const hostPort = this.#rig.hostPort(hostPortName);
    if (hostPort?.spec.hostPortClassName !== claim.spec.hostPortClassName) {
      this.#wrong('class', `${label} is bound to ${hostPortName} of class ${hostPort?.spec.hostPortClassName}`);
    }
    if (claim.status.port !== Number(hostPortName.slice(3))) this.#wrong('number', `${label}: ${claim.status.port}`);
  }

  /** Of everything that is there. */
  #look(): void {
    const owners = new Map<string, string>();
    for (const claim of this.#rig.claims() as readonly Thing[]) {
      const hostPortName: string | undefined = claim.status?.hostPortName;
      if (hostPortName === undefined) continue;
      const { uid, namespace, name } = claim.metadata;
      const label = `claim ${namespace}/${name} (${uid})`;
      const other = owners.get(hostPortName);
      if (other !== undefined)
        this.#wrong('one number, one claim', `${hostPortName} is given to ${other} and ${label}`);
      owners.set(hostPortName, label);
      const ref = this.#rig.hostPort(hostPortName)?.spec.claimRef;
      if (ref?.uid !== uid) {
        this.#wrong(
          'no claim takes another\u2019s',
          `${hostPortName} of ${label} is ${ref?.namespace}/${ref?.name} (${ref?.uid})`,
        );
      }
    }
  }

  #usersOf(namespace: string, claim: string, until = '9'): readonly string[] {
    return this.#rig.server
      .all('pods')
      .filter((pod) => pod.metadata.creationTimestamp <= until)
      .filter((pod) => pod.metadata.namespace === namespace && !hasEnded(pod) && names(pod, claim))
      .map((pod) => pod.metadata.uid);
  }

  #isUsing(uid: string): boolean {
    const pod = this.#rig.server.all('pods').find(({ metadata }) => metadata.uid === uid);
    return pod !== undefined && !hasEnded(pod);
  }

  /** When everything has come to rest: what is wrong with how it is. */
  atRest(): readonly string[] {
    const rig = this.#rig;
    const hostPorts = rig.hostPorts() as readonly Thing[];
    const claims = rig.claims() as readonly Thing[];
    const alive = new Map(claims.map((one) => [one.metadata.uid, one]));
    const wrong: string[] = [];
    const bound = claims.filter(({ status }) => status?.port !== undefined);
    if (new Set(bound.map(({ status }) => status.port)).size < bound.length) wrong.push('a number is with two claims');
    for (const { metadata, status } of bound) {
      const ref = rig.hostPort(status.hostPortName)?.spec.claimRef;
      if (ref?.uid !== metadata.uid)
        wrong.push(`${metadata.name} says ${status.hostPortName}, which is ${ref?.name}'s`);
    }
    for (const { metadata, spec, status } of hostPorts) {
      const ref = spec.claimRef;
      const claim = alive.get(ref?.uid);
      const kept = rig.class(spec.hostPortClassName)?.spec.reclaimPolicy === 'Retain';
      if (ref?.uid !== undefined && claim === undefined && !(kept && status?.phase === 'Released'))
        wrong.push(`${metadata.name} is left of a claim that is gone`);
      if (claim !== undefined && claim.status?.hostPortName !== metadata.name && claim.status?.phase !== 'Pending')
        wrong.push(`${metadata.name} is left of a claim that has ${claim.status?.hostPortName}`);
    }
    for (const claim of claims) wrong.push(...this.#waiting(claim, hostPorts));
    return wrong;
  }

  /** Why a claim should not be as it is. */
  #waiting(claim: Thing, hostPorts: readonly Thing[]): readonly string[] {
    const { namespace, name, deletionTimestamp } = claim.metadata;
    const label = `${namespace}/${name}: ${JSON.stringify(claim.status)}`;
    if (deletionTimestamp !== undefined) {
      const used = this.#usersOf(namespace, name).length > 0;
      return used ? [] : [`${label} is being deleted, and nobody uses it`];
    }
    if (claim.status?.phase === 'Bound') return [];
    if (claim.status?.hostPortName !== undefined) {
      const owner = this.#rig.hostPort(claim.status.hostPortName)?.spec.claimRef?.uid;
      const other = this.#rig.claims().some(({ metadata }) => metadata.uid === owner && owner !== claim.metadata.uid);
      return other ? [] : [`${label} lost its number, and nobody else has it`];
    }
    const found = this.#rig.class(claim.spec.hostPortClassName);
    if (found === undefined || found.metadata.deletionTimestamp !== undefined) return [];
    if (claim.spec.hostPortName)
      return this.#isFree(found, claim.spec.hostPortName, claim) ? [`${label} could have it`] : [];
    const bound = this.#rig
      .claims()
      .filter((one: Thing) => one.metadata.namespace === namespace && one.status?.port !== undefined);
    if (found.spec.quota !== undefined && bound.length >= found.spec.quota.claimsPerNamespace) return [];
    const taken = new Set(hostPorts.map((one) => one.metadata.name));
    for (const { start, end } of found.spec.pools)
      for (let number = start; number <= end; number++)
        if (!taken.has(`hp-${number}`)) return [`${label} waits, and ${number} is free`];
    return [];
  }

  #isFree(found: Thing, hostPortName: string, claim: Thing): boolean {
    const hostPort = this.#rig.hostPort(hostPortName);
    const number = Number(hostPortName.slice(3));
    if (hostPort === undefined)
      return found.spec.pools.some(({ start, end }: Thing) => number >= start && number <= end);
    const { spec, metadata } = hostPort;
    if (metadata.deletionTimestamp !== undefined || spec.hostPortClassName !== found.metadata.name) return false;
    return spec.claimRef === undefined || spec.claimRef.uid === claim.metadata.uid;
  }
}

function hasEnded(pod: StoredObject): boolean {
  const { phase } = (pod.status ?? {}) as { readonly phase?: string };
  return phase === 'Succeeded' || phase === 'Failed';
}

function names(pod: StoredObject, claim: string): boolean {
  const annotations = (pod.metadata.annotations ?? {}) as Readonly<Record<string, string>>;
  return Object.entries(annotations).some(([key, value]) => {
    const [group, port] = key.split('/');
    return group === 'claim.berth.dev'
      ? value === claim
      : group === 'claim-template.berth.dev' && `${port}-${pod.metadata.name}` === claim;
  });
}
