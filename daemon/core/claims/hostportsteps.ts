/**
 * What is to be done about each HostPort. It is given back only when its claim is gone or has another number, and both are so for
 * good once they are so; one of a claim that has none yet is taken back only after the claim was told (`withdraw`).
 */

import { withdrawnStatus } from './claimstatus.ts';
import type { ClaimPass } from './claimsteps.ts';
import { type Saying, withConditions } from './condition.ts';
import type { Verdict } from './grant.ts';
import { numberOfName } from './numbers.ts';
import { claimLabel, type HostPort, type HostPortStatus, hasFinalizer, isTied } from './objects.ts';
import { isSame } from './same.ts';
import type { News, Step } from './steps.ts';

const READY = 'Ready';

/** Claims first: `verdicts` is what was said of them in this pass. */
export function stepsForHostPort(pass: ClaimPass, hostPort: HostPort): readonly Step[] {
  if (hostPort.className === '') return [];
  const number = numberOfName(hostPort.meta.name);
  if (number === undefined) return unusable(pass, hostPort);
  const held = hasFinalizer(hostPort);
  if (!held && hostPort.meta.deleting) return [];
  if (!held) return [{ kind: 'hold', owned: { kind: 'hostport', object: hostPort } }];
  const { index, verdicts, time } = pass;
  const { claimRef, meta } = hostPort;
  if (claimRef?.uid === undefined) {
    const promised = (index.tied.get(meta.name) ?? []).length > 0;
    if (meta.deleting && !promised) return [{ kind: 'let-go', hostPort }];
    return tell(pass, hostPort, number, 'Available');
  }
  const claim = index.claimOf(hostPort);
  // Somebody turned it to another claim: it is put right by the one whose number it is.
  const tied = index.tied.get(meta.name) ?? [];
  if (tied.length > 0 && tied.every(({ meta: { uid } }) => uid !== claimRef.uid))
    return tell(pass, hostPort, number, 'Allocated');
  const elsewhere = claim !== undefined && isTied(claim) && claim.status.hostPortName !== meta.name;
  if (claim === undefined || elsewhere) return abandoned(pass, hostPort, number, elsewhere);
  const verdict = isTied(claim) ? undefined : verdicts.get(claim.meta.uid);
  if (isUnwanted(hostPort, verdict)) {
    return [{ kind: 'withdraw', hostPort, claim, status: withdrawnStatus(claim, hostPort, time) }];
  }
  return tell(pass, hostPort, number, 'Allocated');
}

/** The claim has no number yet, and will not get this one. Without a verdict it has one, is being deleted, or is new. */
function isUnwanted({ meta }: HostPort, verdict: Verdict | undefined): boolean {
  if (verdict === undefined) return false;
  if (meta.deleting) return true;
  if (verdict.kind === 'wait') return false;
  // Of several of its own it gets one, and the others are given back as soon as it has.
  if (verdict.kind === 'give') return verdict.source.kind !== 'have';
  // Its class may come back.
  return verdict.reason !== 'ClassMissing';
}

/** Its claim is gone, or has another number. */
function abandoned(pass: ClaimPass, hostPort: HostPort, number: number, elsewhere: boolean): readonly Step[] {
  const { className, claimRef, meta } = hostPort;
  const found = pass.index.classes.get(className);
  // What is not known may be Retain.
  const retained = (found === undefined || found.reclaimPolicy === 'Retain') && !meta.deleting;
  if (retained && !elsewhere) return tell(pass, hostPort, number, 'Released');
  const from = claimRef === undefined ? '' : ` by claim ${claimLabel(claimRef)}`;
  const news = { type: 'Normal', reason: 'Released', message: `released${from}` } as const;
  // Its claim never had this number: there is nothing to keep for anybody.
  return [{ kind: 'release', hostPort, keep: retained, news }];
}

function unusable(pass: ClaimPass, hostPort: HostPort): readonly Step[] {
  if (hostPort.meta.deleting) return hasFinalizer(hostPort) ? [{ kind: 'let-go', hostPort }] : [];
  return tell(pass, hostPort, undefined, undefined);
}

function tell(
  { index, time }: ClaimPass,
  hostPort: HostPort,
  port: number | undefined,
  phase: HostPortStatus['phase'],
): readonly Step[] {
  const { meta, status: standing, className } = hostPort;
  const status: HostPortStatus = {
    phase: phase !== undefined && meta.deleting ? 'Deleting' : phase,
    port,
    observedGeneration: meta.generation,
    conditions: withConditions(
      standing.conditions,
      [ready(port, className, index.classes.has(className))],
      [],
      meta.generation,
      time.text,
    ),
  };
  if (isSame(status, standing)) return [];
  if (phase !== 'Released') return [{ kind: 'tell-hostport', object: hostPort, status }];
  const message = 'released and kept: remove spec.claimRef to give it to others';
  const news: News = { type: 'Normal', reason: 'Released', message };
  return [{ kind: 'retain', hostPort, status, ...(standing.phase === 'Released' ? {} : { news }) }];
}

function ready(port: number | undefined, className: string, known: boolean): Saying {
  if (port === undefined) {
    const message = 'the name of a HostPort is its number: it must be hp-<1..65535>, and this one is never used';
    return { type: READY, status: 'False', reason: 'InvalidName', message };
  }
  if (known) return { type: READY, status: 'True', reason: 'Ready', message: `host port ${port}` };
  return { type: READY, status: 'False', reason: 'ClassMissing', message: `HostPortClass ${className} does not exist` };
}
