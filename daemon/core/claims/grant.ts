/**
 * Which number each claim that has none yet is to get, or why it gets none. Pure and total; it must never give the number of one
 * claim to another, also not when what is seen is older than it was.
 */
import { holdsNumber, nameOfNumber, numberOfName, numbersOf } from './numbers.ts';
import { type Claim, claimLabel, type HostPort, type HostPortClass, hasFinalizer, isTied } from './objects.ts';
import { isSelected } from './selector.ts';
import type { Source } from './steps.ts';
import type { Index } from './view.ts';

export type RefusalReason =
  | 'ClassMissing'
  | 'NamespaceNotAllowed'
  | 'QuotaExceeded'
  | 'PoolExhausted'
  | 'HostPortTaken'
  | 'HostPortMissing'
  | 'HostPortDeleting'
  | 'ClassMismatch'
  | 'Invalid';

export type Verdict =
  | { readonly kind: 'give'; readonly className: string; readonly source: Source }
  | { readonly kind: 'refuse'; readonly reason: RefusalReason; readonly message: string }
  /** Something has to be written before. */
  | { readonly kind: 'wait' };

/** Verdicts of one pass: what one claim gets the next one does not. */
export class Grants {
  readonly #index: Index;
  /** Numbers that were given in this pass. */
  readonly #given = new Set<number>();
  /** How far each class's numbers are given: none before is free. */
  readonly #cursors = new Map<string, Iterator<number>>();
  /** The uids of the claims that count, by class and namespace. */
  readonly #holders = new Map<string, Set<string>>();

  constructor(index: Index) {
    this.#index = index;
  }

  /** To be done before anything is given: bound claims count, and those that have a HostPort of the class already, since they got it. */
  *count(): Generator<void, void> {
    const { view, owned } = this.#index;
    for (const claim of view.claims) {
      if (isTied(claim)) this.#hold(claim.status.hostPortClassName || claim.className, claim);
      else for (const { className } of owned.get(claim.meta.uid) ?? []) this.#hold(className, claim);
      yield;
    }
  }

  /** Of a claim that is not tied, not being deleted, and held by its finalizer. The oldest are to be asked for first. */
  verdict(claim: Claim): Verdict {
    const found = this.#index.classes.get(claim.className);
    if (found === undefined || found.meta.deleting) {
      const what = found === undefined ? 'does not exist' : 'is being deleted';
      return refuse('ClassMissing', `HostPortClass ${claim.className} ${what}`);
    }
    if (!hasFinalizer(found)) return { kind: 'wait' };
    const verdict = this.#refusedBy(found, claim) ?? this.#choose(found, claim);
    if (verdict.kind === 'give') this.#note(found, claim, verdict.source);
    return verdict;
  }

  #refusedBy({ meta, selector, claimsPerNamespace }: HostPortClass, claim: Claim): Verdict | undefined {
    const { namespace, uid } = claim.meta;
    const labels = this.#index.view.namespaces.get(namespace);
    if (selector !== undefined && (labels === undefined || !isSelected(selector, labels))) {
      return refuse(
        'NamespaceNotAllowed',
        `the namespaceSelector of HostPortClass ${meta.name} does not select namespace ${namespace}`,
      );
    }
    const holders = this.#holders.get(holderKey(meta.name, namespace));
    if (claimsPerNamespace === undefined || holders?.has(uid) || (holders?.size ?? 0) < claimsPerNamespace) return;
    return refuse(
      'QuotaExceeded',
      `namespace ${namespace} may have ${claimsPerNamespace} bound claims of HostPortClass ${meta.name}: delete one of them`,
    );
  }

  #choose(found: HostPortClass, claim: Claim): Verdict {
    if (claim.hostPortName !== '') return this.#named(found, claim);
    const { owned, reserved } = this.#index;
    const usable = ({ className, meta }: HostPort) => className === found.meta.name && !meta.deleting;
    const own = owned.get(claim.meta.uid)?.find((one) => usable(one) && !this.#isPromised(one, claim));
    if (own !== undefined) return give(found, { kind: 'have', hostPort: own });
    const kept = reserved.get(claimLabel(claim.meta))?.find((one) => usable(one) && !this.#isPromised(one, claim));
    if (kept !== undefined) return give(found, { kind: 'take', hostPort: kept });
    const source = this.#lowest(found);
    if (source !== undefined) return give(found, source);
    const why = `every host port of HostPortClass ${found.meta.name} is taken: the claim gets one as soon as one is released`;
    return refuse('PoolExhausted', why);
  }

  #named(found: HostPortClass, claim: Claim): Verdict {
    const name = claim.hostPortName;
    const number = numberOfName(name);
    if (number === undefined)
      return refuse('Invalid', 'spec.hostPortName is no name of a HostPort: write hp-<1..65535>');
    const hostPort = this.#index.hostPorts.get(name);
    if (hostPort === undefined) {
      if (!holdsNumber(found, number)) {
        const why = `HostPort ${name} does not exist, and its number is in no pool of HostPortClass ${found.meta.name}`;
        return refuse('HostPortMissing', why);
      }
      if (this.#isTaken(number, claim)) return taken(name);
      return give(found, { kind: 'make', number });
    }
    const { className, meta, claimRef } = hostPort;
    if (className !== found.meta.name) {
      return refuse('ClassMismatch', `HostPort ${name} is not of HostPortClass ${found.meta.name}`);
    }
    if (meta.deleting) return refuse('HostPortDeleting', `HostPort ${name} is being deleted`);
    if (this.#isTaken(number, claim)) return taken(name);
    if (claimRef?.uid === claim.meta.uid) return give(found, { kind: 'have', hostPort });
    const open =
      claimRef === undefined || (claimRef.uid === undefined && claimLabel(claimRef) === claimLabel(claim.meta));
    if (!open) return taken(name);
    return give(found, { kind: 'take', hostPort });
  }

  /** The first number of the pools that is free, from where the last search ended. */
  #lowest(found: HostPortClass): Source | undefined {
    const { name } = found.meta;
    const cursor = this.#cursors.get(name) ?? numbersOf(found);
    this.#cursors.set(name, cursor);
    for (let next = cursor.next(); next.done !== true; next = cursor.next()) {
      const number = next.value;
      if (this.#isTaken(number)) continue;
      const hostPort = this.#index.hostPorts.get(nameOfNumber(number));
      if (hostPort === undefined) return { kind: 'make', number };
      const free = hostPort.claimRef === undefined && hostPort.className === name && !hostPort.meta.deleting;
      if (free) return { kind: 'take', hostPort };
    }
    return undefined;
  }

  /** Given in this pass, or some other claim's for good although the HostPort does not say so. */
  #isTaken(number: number, by?: Claim): boolean {
    const tied = this.#index.tied.get(nameOfNumber(number)) ?? [];
    return this.#given.has(number) || tied.some(({ meta }) => meta.uid !== by?.meta.uid);
  }

  #isPromised({ meta }: HostPort, claim: Claim): boolean {
    const number = numberOfName(meta.name);
    return number === undefined || this.#isTaken(number, claim);
  }

  #note(found: HostPortClass, claim: Claim, source: Source): void {
    const number = source.kind === 'make' ? source.number : numberOfName(source.hostPort.meta.name);
    if (number !== undefined) this.#given.add(number);
    this.#hold(found.meta.name, claim);
  }

  #hold(className: string, { meta }: Claim): void {
    const key = holderKey(className, meta.namespace);
    const holders = this.#holders.get(key);
    if (holders === undefined) this.#holders.set(key, new Set([meta.uid]));
    else holders.add(meta.uid);
  }
}

function holderKey(className: string, namespace: string): string {
  return `${className}/${namespace}`;
}

function give(found: HostPortClass, source: Source): Verdict {
  return { kind: 'give', className: found.meta.name, source };
}

function refuse(reason: RefusalReason, message: string): Verdict {
  return { kind: 'refuse', reason, message };
}

function taken(name: string): Verdict {
  return refuse('HostPortTaken', `HostPort ${name} belongs to another claim`);
}
