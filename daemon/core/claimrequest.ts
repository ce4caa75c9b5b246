/**
 * The annotations by which a pod's ports are claimed: their keys and values alone, without a look at the ports. Pure and total: it
 * must never take a text for a claim that could mean something else.
 */
import { CLAIM_PREFIX, CLAIM_TEMPLATE_PREFIX, isClaimKey } from './annotation.ts';
import { fault } from './fault.ts';
import { trim } from './list.ts';
import type { Parsed } from './reach.ts';
import { quoted } from './text.ts';
import type { Pod } from './vocabulary.ts';

export interface ClaimAnnotation {
  readonly key: string;
  /** What stands behind the / of the key. */
  readonly port: string;
  /** The value is a class, and the claim is called after port and pod. */
  readonly template: boolean;
}

const NONE: readonly ClaimAnnotation[] = [];

/** Sorted by key, so that of several mistakes the same one is reported each time. */
export function claimAnnotations({ annotations }: Pod): readonly ClaimAnnotation[] {
  let keys: string[] | undefined;
  for (const key in annotations) {
    if (!isClaimKey(key) || !Object.hasOwn(annotations, key)) continue;
    keys ??= [];
    keys.push(key);
  }
  return (
    keys?.sort().map((key) => ({
      key,
      port: key.slice(key.indexOf('/') + 1),
      template: key.startsWith(CLAIM_TEMPLATE_PREFIX),
    })) ?? NONE
  );
}

/** The name of the claim that the annotation means. */
export function claimNameOf(pod: Pod, { port, template }: ClaimAnnotation, value: string): Parsed<string> {
  const { at, text } = trim(value);
  if (text === '') {
    const what = template ? 'the HostPortClass for claims of its pods' : 'a HostPortClaim of this namespace';
    return fault(text, `names no ${template ? 'class' : 'claim'}`, `write the name of ${what}`, 0);
  }
  if (!isObjectName(text)) {
    const what = `is not the name of a ${template ? 'HostPortClass' : 'HostPortClaim'}`;
    return fault(text, what, 'write at most 253 of a-z, 0-9, - and ., with - and . only inside', at);
  }
  if (!template) return { kind: 'ok', value: text };
  if (pod.stateful !== true) {
    const remedy = `make a HostPortClaim and write ${CLAIM_PREFIX}${port}: NAME instead`;
    return fault(text, 'is to make a claim for each pod of a StatefulSet, and this pod is of none', remedy);
  }
  const name = `${port}-${pod.name}`;
  if (isObjectName(name)) return { kind: 'ok', value: name };
  return fault(
    name,
    `cannot be the name of a claim (${name.length} characters)`,
    `shorten the name of ${quoted(port)}`,
  );
}

/** RFC 1123 subdomain, as Kubernetes demands of the names of most objects. */
function isObjectName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
}
