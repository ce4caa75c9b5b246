/** What happens to claims and to the pods that name them, in the runs that have some. */
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { CLAIMS_NAMESPACE, claimRequest, type SimClaim } from './claims.ts';
import type { Director } from './director.ts';
import { flowNow } from './flowcheck.ts';
import { type Action, newAddresses, remove } from './podactions.ts';
import { reached, type Stage } from './stage.ts';

function claimants({ api }: Stage, claim?: SimClaim): readonly Pod[] {
  return api.pods.filter((pod) => {
    const name = api.asked(pod)?.claim;
    return name !== undefined && (claim === undefined || claim.name === name) && pod.phase !== 'Succeeded';
  });
}

function create(stage: Stage, claim: SimClaim): Pod {
  const { random, api, time } = stage;
  const podIPs = random.chance(0.8) ? newAddresses(stage) : [];
  const used = new Set(api.pods.map(({ name }) => name));
  const name = Array.from({ length: used.size + 1 }, (_, index) => `${claim.name}-${index}`).find(
    (one) => !used.has(one),
  );
  return api.create(claimRequest(claim), { namespace: CLAIMS_NAMESPACE, name: name as string, podIPs }, time.wall);
}

function change(stage: Stage, uid: string, fields: Partial<Pod>): void {
  const now = stage.api.pods.find((pod) => pod.uid === uid);
  if (now === undefined || now.phase === 'Succeeded') return;
  // Who has no address has no container that could be ready.
  const podIPs =
    fields.ready === true && now.podIPs.length === 0 ? { podIPs: newAddresses(stage), phase: 'Running' as const } : {};
  stage.api.update(now, { ...podIPs, ...fields });
}

function createClaimant({ stage }: Director): void {
  const claim = stage.random.pick(stage.claims?.all ?? []);
  const { uid } = create(stage, claim);
  if (stage.random.chance(0.7))
    stage.time.after(stage.random.between(0, 8_000), () => change(stage, uid, { ready: true }));
}

/** As a Deployment does it: the next pod is made, gets ready in a while, and then the old ones are deleted. */
function roll({ stage }: Director): void {
  const { random, time } = stage;
  const claim = random.pick(stage.claims?.all ?? []);
  const old = claimants(stage, claim);
  const { uid } = create(stage, claim);
  const ready = random.between(0, 10_000);
  time.after(ready, () => change(stage, uid, { ready: true }));
  let at = ready;
  for (const pod of old) {
    at += random.between(0, 5_000);
    time.after(at, () => change(stage, pod.uid, { terminating: true }));
    at += random.between(0, 10_000);
    time.after(at, () => change(stage, pod.uid, { ended: true, ready: false }));
    time.after(at + random.between(1, 2_000), () => {
      const now = stage.api.pods.find((one) => one.uid === pod.uid);
      if (now !== undefined) remove(stage, now);
    });
  }
}

function flapReadiness({ stage }: Director): void {
  const pods = claimants(stage);
  if (pods.length === 0) return;
  const pod = stage.random.pick(pods);
  reached(stage, 'pod of a claim ready or not', `${pod.uid.slice(-3)} ${pod.ready !== true}`);
  change(stage, pod.uid, { ready: pod.ready !== true });
}

function bindOrUnbind({ stage }: Director): void {
  const claim = stage.random.pick(stage.claims?.all ?? []);
  claim.bound = !claim.bound;
  claim.since = stage.time.now;
  reached(stage, claim.bound ? 'claim bound late' : 'claim unbound', claim.name);
}

function hideClaims({ stage }: Director): void {
  const { weather, time, random } = stage;
  weather.claimsDownUntil = time.now + random.pick([500, 10_000, 90_000]);
}

/** Clients come to the numbers of claims. */
function openConnections({ stage }: Director): void {
  const { random, node } = stage;
  for (const { number: port } of stage.claims?.all ?? []) {
    const destination = random.pick(node.addresses.filter(({ family }) => family === 4)).address;
    const packet = {
      protocol: 'TCP',
      source: '203.0.113.5',
      sourcePort: random.integer(1_024, 65_535),
      destination,
      port,
    } as const;
    if (node.flows.flows.length < 60) node.flows.flows.push(flowNow(stage, packet));
  }
}

/** Nothing keeps a claim from its number any more. */
export function bindAll({ claims, time }: Stage): void {
  for (const claim of claims?.all ?? []) {
    if (!claim.bound) Object.assign(claim, { bound: true, since: time.now });
  }
}

export const CLAIM_ACTIONS: readonly (readonly [number, Action])[] = [
  [16, createClaimant],
  [40, roll],
  [30, flapReadiness],
  [6, bindOrUnbind],
  [4, hideClaims],
  [16, openConnections],
];
