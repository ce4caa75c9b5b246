/**
 * The claims that StatefulSets ask for in the annotations of their pods, one for each ordinal. They are made, and never changed: a
 * claim that is somebody else's is reported.
 */
import { isPortName } from '../grammar.ts';
import { quoted } from '../text.ts';
import { type Claim, type ClaimName, claimLabel, isTied, type StatefulSet } from './objects.ts';
import type { Complaint, Step } from './steps.ts';
import type { Index } from './view.ts';

/** As Kubernetes has it for names of objects. */
const MAX_NAME = 253;
/** So many claims of one template may be without a number; those for further pods are made when these have theirs (I10). */
const MAX_WAITING = 20;

export type Provide = Extract<Step, { readonly kind: 'provide' }>;

export interface StatefulSetSteps {
  readonly steps: readonly Provide[];
  readonly complaints: readonly Complaint[];
}

/** As the agent calls the claim of a pod. */
export function templateClaimName(portName: string, pod: string): string {
  return `${portName}-${pod}`;
}

export function stepsForStatefulSet(index: Index, statefulSet: StatefulSet): StatefulSetSteps {
  const steps: Provide[] = [];
  const complaints: Complaint[] = [];
  const complain = (reason: string, message: string) =>
    complaints.push({ statefulSet, news: { type: 'Warning', reason, message } });
  const { meta, templates, start, replicas } = statefulSet;
  if (meta.deleting) return { steps, complaints };
  for (const { portName, className } of templates) {
    const last = templateClaimName(portName, `${meta.name}-${start + Math.max(0, replicas - 1)}`);
    const wrong = faultOf(portName, className, last);
    if (wrong !== undefined) {
      complain(
        'InvalidClaimTemplate',
        `annotation claim-template.berth.dev/${quoted(portName).slice(1, -1)}: ${wrong}`,
      );
      continue;
    }
    let waiting = 0;
    for (let ordinal = start; ordinal < start + replicas && waiting < MAX_WAITING; ordinal++) {
      const name = templateClaimName(portName, `${meta.name}-${ordinal}`);
      const claim: ClaimName = { namespace: meta.namespace, name };
      const found = index.claims.get(claimLabel(claim));
      if (found === undefined || !isTied(found)) waiting++;
      if (found === undefined) steps.push({ kind: 'provide', claim, className, statefulSet });
      else if (isEnding(found, statefulSet)) continue;
      else if (!found.owners.some(({ uid }) => uid === meta.uid)) {
        complain(
          'ClaimNotOwned',
          `claim ${name} is there and not this StatefulSet's: it is left as it is; delete it, or rename one of the two`,
        );
      } else if (found.className !== className) {
        complain(
          'ClaimOfAnotherClass',
          `claim ${name} is of HostPortClass ${found.className}, not ${className}, and stays so: delete it to get one of the other class`,
        );
      }
    }
  }
  return { steps, complaints };
}

/**
 * A new one is made when it has gone. The garbage collector deletes the claims of an earlier StatefulSet of this name, some moments
 * after that one.
 */
function isEnding({ meta, owners }: Claim, statefulSet: StatefulSet): boolean {
  const { name, uid } = statefulSet.meta;
  return meta.deleting || owners.some((one) => one.kind === 'StatefulSet' && one.name === name && one.uid !== uid);
}

function faultOf(portName: string, className: string, name: string): string | undefined {
  if (!isPortName(portName)) return `${quoted(portName)} is no port name`;
  if (className === '') return 'it names no HostPortClass';
  return name.length > MAX_NAME ? `the name of the claim would have more than ${MAX_NAME} characters` : undefined;
}
