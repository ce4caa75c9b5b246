/**
 * What the last agent left behind, taken over at start: rules in the kernel first, then the state file (in this order, as
 * a rule is a promise that somebody may be using at this moment). Pure.
 */
import { type Adopted, adopt as adoptedFrom } from '../../rules/adoption.ts';
import type { Element } from '../../rules/element.ts';
import { sameClaim } from '../core/claim.ts';
import { type Ledger, portKey } from '../core/ledger.ts';
import { poolHolds } from '../core/pool.ts';
import type { AgentState, Grant } from '../core/state.ts';
import type { Pod, Protocol } from '../core/vocabulary.ts';

/**
 * Fills the ledger. A rule without an entry in the state file gets its pod's name when the pod is seen; until then its
 * namespace, pod and pool are empty. Where rule and file name different numbers for one port, both are held: the file may
 * be older, or a promise that the last agent did not come to install.
 */
export function adopt(ledger: Ledger, installed: readonly Element[], state: AgentState | undefined): void {
  const stored = new Map<string, Grant[]>();
  for (const grant of state?.grants ?? []) append(stored, keyOf(grant), grant);
  for (const rule of adoptedFrom(installed)) {
    if (!isFree(ledger, rule)) continue;
    const known = stored.get(keyOf(rule));
    const exact = known?.find(({ hostPort, size }) => hostPort === rule.hostPort && size === rule.size);
    ledger.grant({
      uid: rule.uid,
      namespace: known?.[0]?.namespace ?? '',
      pod: known?.[0]?.pod ?? '',
      name: rule.name,
      protocol: rule.protocol,
      pool: exact?.pool ?? '',
      ...(exact?.claim === undefined ? {} : { claim: exact.claim }),
      hostPort: rule.hostPort,
      size: rule.size,
      containerPort: rule.containerPort,
      ...(rule.hostIP === undefined ? {} : { hostIP: rule.hostIP }),
      ...(exact?.givenAt === undefined ? {} : { givenAt: exact.givenAt }),
    });
  }
  const ruled = new Set([...ledger.grants()].map(keyOf));
  const told: Grant[] = [];
  for (const grant of state?.grants ?? []) {
    const isRuled = ruled.has(keyOf(grant));
    if (isFree(ledger, grant)) {
      if (isRuled) ledger.retain(grant);
      else ledger.grant(grant);
    } else if (!isRuled && succeeds(ledger, grant, told, ruled)) ledger.grant(grant);
    told.push(grant);
  }
}

/**
 * The last agent had given the numbers on to the next pod of this name, and promised them: the file tells of the one who had them
 * first of all (I6). The predecessor's rule may stand still. The next pod of a claim it had only if no rule says otherwise: both
 * may live, and whose turn it is is judged anew.
 */
function succeeds(ledger: Ledger, grant: Grant, told: readonly Grant[], ruled: ReadonlySet<string>): boolean {
  for (let number = grant.hostPort; number < grant.hostPort + grant.size; number++) {
    const holder = ledger.holder(grant.protocol, number, grant.hostIP);
    if (holder === undefined) continue;
    const former = told.some(
      (one) => keyOf(one) === keyOf(holder) && one.hostPort <= number && number < one.hostPort + one.size,
    );
    const sameName = holder.namespace === grant.namespace && holder.pod === grant.pod;
    const follows = sameName || (sameClaim(holder, grant) && !ruled.has(keyOf(holder)));
    if (!former || holder.uid === grant.uid || !follows) return false;
  }
  return true;
}

/** Where a number comes from. */
export type Origin = Pick<Grant, 'pool' | 'claim'>;

/** Completes adopted grants once their pod is seen: its name, and the pool that it asks for (empty: it asks for none). */
export function identify(ledger: Ledger, pod: Pod, originFor: (grant: Grant) => Origin): void {
  for (const grant of ledger.grantsOf(pod.uid).values()) {
    const { pool, claim } = originFor(grant);
    if (grant.pod !== '' && (grant.pool !== '' || pool === '')) continue;
    // The rule may be what the pod had before it asked for another pool: then the file knows the number of that one.
    const own = grant.pool === '' && hasRival(ledger, grant) ? poolOf(ledger, grant) : grant.pool;
    const claimed = own === '' && claim !== undefined ? { claim } : {};
    ledger.grant({ ...grant, namespace: pod.namespace, pod: pod.name, pool: own || pool, ...claimed });
  }
}

function hasRival(ledger: Ledger, grant: Grant): boolean {
  for (const other of ledger.grants()) if (ledger.isLeaving(other) && keyOf(other) === keyOf(grant)) return true;
  return false;
}

function poolOf(ledger: Ledger, { hostPort, size }: Grant): string {
  return ledger.pools().find((pool) => poolHolds(pool, hostPort, size))?.name ?? '';
}

function keyOf(of: { readonly uid: string; readonly name: string; readonly protocol: Protocol }): string {
  return `${of.uid}/${portKey(of)}`;
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function isFree(ledger: Ledger, of: Pick<Grant | Adopted, 'protocol' | 'hostPort' | 'size' | 'hostIP'>): boolean {
  for (let number = of.hostPort; number < of.hostPort + of.size; number++) {
    if (ledger.holder(of.protocol, number, of.hostIP) !== undefined) return false;
  }
  return true;
}
