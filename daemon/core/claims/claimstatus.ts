/** What a claim is told in its status. Pure; its number comes from whoever decided it, never from here. */
import { type Saying, withConditions } from './condition.ts';
import type { PassTime } from './moment.ts';
import { numberOfName } from './numbers.ts';
import { type Claim, type ClaimStatus, type HostPort, type HostPortClass, isTied } from './objects.ts';
import type { Uses } from './view.ts';

const BOUND = 'Bound';
const IN_USE = 'InUse';
const SPEC_FOLLOWED = 'SpecFollowed';
/** As many pods are written down that hold up the end of a claim. */
const MAX_HOLDERS = 256;
const OWN = [BOUND, IN_USE, SPEC_FOLLOWED] as const;

/** What is copied for agents, which read the claim alone. */
export type Terms = Pick<HostPortClass, 'protocols' | 'handover'>;

/** It has no number (yet, or at the moment), and why. A number that was promised stays promised. */
export function pendingStatus(claim: Claim, reason: string, message: string, time: PassTime): ClaimStatus {
  return {
    ...claim.status,
    phase: 'Pending',
    port: undefined,
    protocols: [],
    handover: undefined,
    ...said(claim, [{ type: BOUND, status: 'False', reason, message }], time),
  };
}

/** Without terms the class is gone, and what was copied from it stays; without its name nothing is known of the HostPort's class. */
export function boundStatus(
  claim: Claim,
  hostPortName: string,
  { className, terms }: { readonly className: string | undefined; readonly terms: Terms | undefined },
  time: PassTime,
): ClaimStatus {
  const message = `HostPort ${hostPortName} is this claim's for as long as it lives`;
  return {
    ...claim.status,
    phase: 'Bound',
    hostPortName,
    hostPortClassName: className ?? claim.status.hostPortClassName,
    port: numberOfName(hostPortName),
    ...(terms === undefined ? {} : { protocols: terms.protocols, handover: terms.handover }),
    ...said(
      claim,
      [{ type: BOUND, status: 'True', reason: 'Bound', message }, ...ignored(claim, hostPortName, className)],
      time,
    ),
  };
}

/** `users` undefined: nobody has asked yet. */
export function deletingStatus(claim: Claim, users: Uses | undefined, time: PassTime): ClaimStatus {
  const standing = claim.status.conditions.filter(({ type }) => type === BOUND || type === IN_USE);
  const sayings: Saying[] = standing.map(({ type, status, reason, message }) => ({ type, status, reason, message }));
  if (users !== undefined) {
    const message = `${claim.status.hostPortName} is kept until they have ended: ${listed(users.pods, users.count)}`;
    const saying: Saying = { type: IN_USE, status: 'True', reason: 'UsedByPods', message };
    const others = sayings.filter(({ type }) => type !== IN_USE);
    const heldBy = users.uids.length > MAX_HOLDERS ? undefined : users.uids;
    return { ...claim.status, phase: 'Deleting', heldBy, ...said(claim, [...others, saying], time) };
  }
  return { ...claim.status, phase: 'Deleting', ...said(claim, sayings, time) };
}

/** The names, and how many more there are. */
export function listed(names: readonly string[], count: number): string {
  return `${names.join(', ')}${count > names.length ? ` and ${count - names.length} more` : ''}`;
}

/** The touch that makes every decision about the claim from before fail; it therefore names the life of the HostPort that it is about. */
export function withdrawnStatus(claim: Claim, { meta }: HostPort, time: PassTime): ClaimStatus {
  const why = `HostPort ${meta.name} (uid ${meta.uid}) is taken back`;
  return pendingStatus(claim, 'HostPortWithdrawn', why, time);
}

/** What was changed in the spec after a number was promised. `className` undefined: the HostPort is not known. */
function ignored(claim: Claim, hostPortName: string, className: string | undefined): readonly Saying[] {
  if (!isTied(claim)) return [];
  const otherPort = claim.hostPortName !== '' && claim.hostPortName !== hostPortName;
  const otherClass = className !== undefined && className !== claim.className;
  if (!otherPort && !otherClass) return [];
  const field = otherPort ? 'hostPortName' : 'hostPortClassName';
  const message = `spec.${field} was changed since the claim was bound, and that is ignored: a claim keeps its number; delete it, or make another one`;
  const reason = otherPort ? 'HostPortChanged' : 'ClassChanged';
  return [{ type: SPEC_FOLLOWED, status: 'False', reason, message }];
}

function said(
  claim: Claim,
  sayings: readonly Saying[],
  time: PassTime,
): Pick<ClaimStatus, 'conditions' | 'observedGeneration'> {
  const { generation } = claim.meta;
  return {
    observedGeneration: generation,
    conditions: withConditions(claim.status.conditions, sayings, OWN, generation, time.text),
  };
}
