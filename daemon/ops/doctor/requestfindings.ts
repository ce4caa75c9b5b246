/** BD1xx: what the pod asks for, and whether it may have it here. Pure. */
import { type Finding, finding, type HopCode } from '../../core/diagnosis.ts';
import { isActive, optsIn } from '../../core/podstate.ts';
import { formatRanges } from '../../core/pool.ts';
import { quoted } from '../../core/text.ts';
import { type PortRequest, podLabel } from '../../core/vocabulary.ts';
import { type Demand, partsOf } from '../../reconcile/demand.ts';
import type { PodFacts } from './facts.ts';
import { annotate, showPod, showRequest } from './podcommands.ts';

export function requestFindings(facts: PodFacts): readonly Finding[] {
  const { assessment, pod } = facts;
  const life = lifeFinding(facts);
  const show = showRequest(facts);
  if (assessment.kind === 'none') {
    const says = `pod ${podLabel(pod)} has no annotation berth.dev/ports: it asks for no host port`;
    const opts = finding('BD101', 'fail', says, annotate(facts, 'berth.dev/ports='));
    return [opts, ...skipped('the pod asks for nothing'), life, addressFinding(facts)];
  }
  const asks = optsIn(pod) ? 'asks for host ports' : 'has static hostPorts in its spec, which Berth serves';
  const opted = finding('BD101', 'ok', `pod ${podLabel(pod)} ${asks}`, show);
  if (assessment.kind === 'problem') {
    const request = finding('BD102', 'fail', assessment.problem.message, show);
    return [opted, request, ...skipped('the request cannot be understood').slice(1), life, addressFinding(facts)];
  }
  return [
    opted,
    requestFinding(facts, assessment, show),
    poolFinding(facts, assessment, show),
    hostFinding(assessment),
    life,
    addressFinding(facts),
  ];
}

function skipped(why: string): readonly Finding[] {
  return (['BD102', 'BD103', 'BD104'] as const satisfies readonly HopCode[]).map((code) =>
    finding(code, 'skipped', why, ''),
  );
}

function requestFinding({ asked, ports }: PodFacts, demand: Demand, show: string): Finding {
  const { pod, flaw } = demand;
  const all = partsOf(demand)
    .flatMap(({ request }) => request.requests.map(requestText))
    .join(', ');
  if (flaw !== undefined) return finding('BD102', 'fail', flaw.message, show);
  if (all === '') {
    return finding('BD102', 'fail', `pod ${podLabel(pod)} declares no container port that could be mapped`, show);
  }
  if (asked !== undefined && ports.length === 0) {
    return finding('BD102', 'fail', `the pod does not ask for port ${quoted(asked)}; it asks for ${all}`, show);
  }
  return finding('BD102', 'ok', `it asks for ${all}`, show);
}

function requestText({ name, protocol, target }: PortRequest): string {
  switch (target.kind) {
    case 'port':
      return `${name} (${protocol} ${target.port})`;
    case 'same':
      return `${name} (${protocol}, the same number)`;
    case 'block':
      return `${name} (${protocol}, a block of ${target.size})`;
    case 'numbers':
      return `${name} (${protocol} ${formatRanges([target])})`;
  }
}

function poolFinding(
  facts: PodFacts,
  { request, pool, denied, units, claims = [], statics = [] }: Demand,
  show: string,
): Finding {
  if (units.length === 0 && claims.length > 0) {
    return finding('BD103', 'ok', 'its numbers are those of its claims: no pool has a say in them', show);
  }
  if (units.length === 0 && statics.length > 0) {
    return finding('BD103', 'ok', 'its hostPorts are static: no pool has a say in them', show);
  }
  if (denied !== undefined) {
    const says = `${denied.message} (judged by the pools of this command line and its --config: give the agent's)`;
    return finding('BD103', 'fail', says, annotate(facts, 'berth.dev/pool=NAME'));
  }
  const ranges = formatRanges(pool?.ranges ?? []);
  return finding('BD103', 'ok', `pool ${quoted(request.pool)} (${ranges}) is open to it`, show);
}

function hostFinding(demand: Demand): Finding {
  const show = 'ip -brief address';
  const lacking = partsOf(demand).find(({ blocked }) => blocked?.reason === 'HostIPNotFound')?.blocked;
  if (lacking !== undefined) return finding('BD104', 'fail', lacking.message, show);
  const { units, claims = [], statics = [] } = demand;
  const { hostIP } = units.length === 0 ? (claims[0] ?? demand) : demand;
  if (units.length === 0 && claims.length === 0 && statics.length > 0) {
    return finding('BD104', 'ok', 'it is served at the addresses that its spec names', show);
  }
  const says = hostIP === undefined ? 'it is served at every address of the node' : `it is served at ${hostIP} alone`;
  return finding('BD104', 'ok', says, show);
}

function lifeFinding(facts: PodFacts): Finding {
  const { pod } = facts;
  const show = showPod(facts);
  if (!isActive(pod)) {
    const ended = pod.terminating ? 'all its containers have ended' : `its phase is ${pod.phase}`;
    return finding('BD105', 'fail', `the pod has ended (${ended}): its mappings are taken down`, show);
  }
  if (pod.terminating) {
    return finding(
      'BD105',
      'warn',
      'the pod is being deleted; its mappings stay until its containers have ended',
      show,
    );
  }
  return finding('BD105', 'ok', `the pod is ${pod.phase}`, show);
}

function addressFinding(facts: PodFacts): Finding {
  const { addresses } = facts;
  const show = showPod(facts);
  switch (addresses.kind) {
    case 'none':
      return finding('BD106', 'fail', 'the pod has no address yet: nothing can lead to it', show);
    case 'refused':
      return finding('BD106', 'fail', `its address ${quoted(addresses.address)} is refused: ${addresses.why}`, show);
    case 'sane':
      return finding('BD106', 'ok', `it has the address ${addresses.addresses.join(' and ')}`, show);
  }
}
