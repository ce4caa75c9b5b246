/**
 * What is to be done about each claim. A bound claim keeps its number whatever becomes of its class, its HostPort and its own spec;
 * one that is being deleted keeps it until no pod needs it.
 */
import { append } from '../declared.ts';
import { boundStatus, deletingStatus, pendingStatus } from './claimstatus.ts';
import { conditionOf } from './condition.ts';
import type { Grants, Verdict } from './grant.ts';
import type { PassTime } from './moment.ts';
import { nameOfNumber, numberOfName } from './numbers.ts';
import { type Claim, type ClaimStatus, claimLabel, type HostPort, hasFinalizer, isTied } from './objects.ts';
import { isSame } from './same.ts';
import type { News, Step } from './steps.ts';
import type { Index } from './view.ts';

export interface ClaimPass {
  readonly index: Index;
  readonly grants: Grants;
  readonly time: PassTime;
  /** Verdicts on claims without a number, by uid: what becomes of the HostPorts that they have depends on them. */
  readonly verdicts: Map<string, Verdict>;
  /** Claims whose end pods hold up, or may, by namespace: one look at its pods tells of all of them. */
  readonly ending: Map<string, Claim[]>;
  /** The namespaces whose pods are to be looked at. */
  readonly asks: Set<string>;
  /** Monotonic ms at which something is due without any news. */
  wakeAt: number;
}

export function stepsForClaim(pass: ClaimPass, claim: Claim): readonly Step[] {
  if (claim.meta.deleting) return hasFinalizer(claim) ? concluding(pass, claim) : [];
  if (!hasFinalizer(claim)) return [{ kind: 'hold', owned: { kind: 'claim', object: claim } }];
  return isTied(claim) ? keeping(pass, claim) : seeking(pass, claim);
}

/** A claim without a number. */
function seeking({ index, grants, time, verdicts }: ClaimPass, claim: Claim): readonly Step[] {
  const verdict = grants.verdict(claim);
  verdicts.set(claim.meta.uid, verdict);
  switch (verdict.kind) {
    case 'wait':
      return [];
    case 'refuse': {
      const { reason, message } = verdict;
      const status = pendingStatus(claim, reason, message, time);
      const before = conditionOf(claim.status.conditions, 'Bound')?.reason;
      return tell(claim, status, before === reason ? undefined : { type: 'Warning', reason, message });
    }
    case 'give': {
      const { className, source } = verdict;
      const name = source.kind === 'make' ? nameOfNumber(source.number) : source.hostPort.meta.name;
      const status = boundStatus(claim, name, { className, terms: index.classes.get(className) }, time);
      const news: News = {
        type: 'Normal',
        reason: 'Bound',
        message: `bound to HostPort ${name} of HostPortClass ${className}`,
      };
      return [{ kind: 'bind', claim, className, source, status, news }];
    }
  }
}

/** A claim that was given a number. */
function keeping(pass: ClaimPass, claim: Claim): readonly Step[] {
  const { index, time } = pass;
  const name = claim.status.hostPortName;
  const mending = mended(pass, claim);
  if (mending !== undefined) return mending;
  const hostPort = index.hostPorts.get(name);
  if (hostPort === undefined) return [];
  const { className } = hostPort;
  const status = boundStatus(claim, name, { className, terms: index.classes.get(className) }, time);
  if (claim.status.phase === 'Bound') return tell(claim, status);
  // It was lost, and what is seen of the HostPort may be from before.
  const news: News = { type: 'Normal', reason: 'Bound', message: `bound to HostPort ${name} again` };
  return [{ kind: 'bind', claim, className, source: { kind: 'have', hostPort }, status, news }];
}

/** What is to be done about the HostPort of a claim that has a number, if it is not as it should be. */
function mended({ index, time }: ClaimPass, claim: Claim): readonly Step[] | undefined {
  const name = claim.status.hostPortName;
  const number = numberOfName(name);
  if (number === undefined) {
    // Nobody but somebody with the right to write statuses can have written that.
    if (conditionOf(claim.status.conditions, 'Bound')?.reason === 'Invalid') return [];
    return tell(claim, withoutNumber(claim, 'Invalid', 'status.hostPortName is no HostPort', time));
  }
  const hostPort = index.hostPorts.get(name);
  if (hostPort === undefined) {
    const message = `HostPort ${name} was removed by force: it is made again`;
    const news: News = { type: 'Warning', reason: 'HostPortLost', message };
    return [{ kind: 'remake', claim, className: claim.status.hostPortClassName || claim.className, number, news }];
  }
  if (hostPort.claimRef?.uid === claim.meta.uid) return undefined;
  const other = index.claimOf(hostPort);
  if (other !== undefined && other.status.hostPortName === name) return lost(claim, hostPort, time);
  const message = `the claimRef of HostPort ${name} was changed: it is put right, the number is bound to this claim`;
  return [{ kind: 'restore', claim, hostPort, news: { type: 'Warning', reason: 'ClaimRefRestored', message } }];
}

/** Its HostPort was removed by force, and another claim has the number by now. */
function lost(claim: Claim, { meta }: HostPort, time: PassTime): readonly Step[] {
  if (conditionOf(claim.status.conditions, 'Bound')?.reason === 'HostPortLost') return [];
  const message = `HostPort ${meta.name} was removed by force and belongs to another claim: this one gets its number back when that one is gone, and no other number; delete the claim to get a new one`;
  const status = withoutNumber(claim, 'HostPortLost', message, time);
  return [{ kind: 'lose', claim, status, news: { type: 'Warning', reason: 'HostPortLost', message } }];
}

function withoutNumber(claim: Claim, reason: string, message: string, time: PassTime): ClaimStatus {
  const status = pendingStatus(claim, reason, message, time);
  return claim.meta.deleting ? { ...status, phase: 'Deleting' } : status;
}

/** A claim that is being deleted. */
function concluding(pass: ClaimPass, claim: Claim): readonly Step[] {
  const { index, time, asks, ending } = pass;
  // A write that gives it a number meanwhile fails by its revision, and this one fails by that one's.
  if (!isTied(claim)) return [{ kind: 'finish', claim }];
  const news: News = { type: 'Normal', reason: 'Deleting', message: 'no pod gets the number any more' };
  if (claim.status.phase !== 'Deleting') return tell(claim, deletingStatus(claim, undefined, time), news);
  const uses = index.view.uses.get(claim.meta.uid);
  if (uses?.count === 0) return [{ kind: 'finish', claim }];
  const { namespace } = claim.meta;
  append(ending, namespace, claim);
  const dueAt = uses === undefined ? time.monotonic : uses.at + uses.wait;
  if (dueAt <= time.monotonic) asks.add(namespace);
  else pass.wakeAt = Math.min(pass.wakeAt, dueAt);
  // Pods use the number still: it must be nobody else's.
  const mending = mended(pass, claim) ?? [];
  if (mending.length > 0 || uses === undefined) return mending;
  return tell(claim, deletingStatus(claim, uses, time));
}

function tell(object: Claim, status: ClaimStatus, news?: News): readonly Step[] {
  if (isSame(status, object.status)) return [];
  return [{ kind: 'tell-claim', object, status, ...(news === undefined ? {} : { news }) }];
}

/** Claims in the order in which they get numbers: the oldest first. */
export function byAge(claims: readonly Claim[]): readonly Claim[] {
  return claims
    .map((claim) => ({ claim, key: `${claim.meta.created} ${claimLabel(claim.meta)}` }))
    .sort((one, other) => (one.key < other.key ? -1 : 1))
    .map(({ claim }) => claim);
}
