/** What is to be done about each class: what it is told of itself, and when it may go. It never takes a number from anybody. */
import { formatRanges, type PortRange } from '../pool.ts';
import { listed } from './claimstatus.ts';
import type { ClaimPass } from './claimsteps.ts';
import { conditionOf, type Saying, withConditions } from './condition.ts';
import { commonRanges, countOf, isRange, membership, numberOfName } from './numbers.ts';
import { type ClassStatus, claimLabel, type HostPort, type HostPortClass, hasFinalizer } from './objects.ts';
import { isSame } from './same.ts';
import { selectorFault } from './selector.ts';
import type { News, Step } from './steps.ts';

const READY = 'Ready';
const DISJOINT = 'PoolsDisjoint';
const COVERING = 'PoolsCoverAllocated';
/** As many are named in a message. */
const NAMED = 5;

export function stepsForClass(pass: ClaimPass, found: HostPortClass, hostPorts: readonly HostPort[]): readonly Step[] {
  const { meta } = found;
  if (!hasFinalizer(found)) {
    return meta.deleting ? [] : [{ kind: 'hold', owned: { kind: 'class', object: found } }];
  }
  if (meta.deleting && hostPorts.length === 0) return [{ kind: 'retire', object: found }];
  const allocated = hostPorts.filter(({ claimRef }) => claimRef?.uid !== undefined);
  const disjoint = disjointness(pass, found);
  const sayings = [readiness(found, hostPorts), disjoint, coverage(found, allocated)];
  const status: ClassStatus = {
    observedGeneration: meta.generation,
    ports: countOf(found.pools),
    allocated: allocated.filter((one) => pass.index.claimOf(one) !== undefined).length,
    conditions: withConditions(found.status.conditions, sayings, [], meta.generation, pass.time.text),
  };
  if (isSame(status, found.status)) return [];
  const news = newsOf(found, disjoint);
  return [{ kind: 'tell-class', object: found, status, ...(news === undefined ? {} : { news }) }];
}

function readiness(found: HostPortClass, hostPorts: readonly HostPort[]): Saying {
  const no = (reason: string, message: string): Saying => ({ type: READY, status: 'False', reason, message });
  if (found.meta.deleting) {
    const names = hostPorts.slice(0, NAMED).map(holding);
    return no(
      'Deleting',
      `no claim gets a number any more; it goes when these HostPorts do: ${listed(names, hostPorts.length)}`,
    );
  }
  const wrong = found.pools.find((range) => !isRange(range));
  if (wrong !== undefined) {
    return no(
      'InvalidPools',
      `pool ${wrong.first}-${wrong.last} has no number: start must not be behind end; it is passed over`,
    );
  }
  const fault = found.selector && selectorFault(found.selector);
  if (fault !== undefined) return no('InvalidSelector', `spec.namespaceSelector selects no namespace: ${fault}`);
  return { type: READY, status: 'True', reason: 'Ready', message: 'claims get numbers' };
}

function holding({ meta, claimRef }: HostPort): string {
  return claimRef === undefined ? meta.name : `${meta.name} (${claimLabel(claimRef)})`;
}

/** The agents of nodes must not give the numbers of the class to other pods. */
function disjointness({ index }: ClaimPass, found: HostPortClass): Saying {
  const { nodePools } = index.view;
  const before = conditionOf(found.status.conditions, DISJOINT);
  if (nodePools === undefined) {
    // Only after a start: what was found before holds until all have told.
    if (before !== undefined) return before;
    return {
      type: DISJOINT,
      status: 'Unknown',
      reason: 'NotReported',
      message: 'not every node has told its pools yet',
    };
  }
  const overlaps = overlapsOf(found, nodePools);
  if (overlaps.length === 0) {
    return { type: DISJOINT, status: 'True', reason: 'Disjoint', message: 'no node gives its numbers to other pods' };
  }
  const told = overlaps.slice(0, NAMED).map(({ ranges, nodes, count }) => {
    return `${formatRanges(ranges)} on ${listed(nodes.slice(0, NAMED), count)}`;
  });
  const message = `agents give numbers of the class to other pods too: ${listed(told, overlaps.length)}; take them out of the pools of these nodes`;
  return { type: DISJOINT, status: 'False', reason: 'Overlap', message };
}

export interface Overlap {
  readonly ranges: readonly PortRange[];
  readonly nodes: readonly string[];
  readonly count: number;
}

export function overlapsOf(
  { pools }: Pick<HostPortClass, 'pools'>,
  nodePools: NonNullable<ClaimPass['index']['view']['nodePools']>,
): readonly Overlap[] {
  return nodePools.flatMap(({ ranges, nodes, count }) => {
    const common = commonRanges(pools, ranges);
    return common.length === 0 ? [] : { ranges: common, nodes, count };
  });
}

/** Numbers that are given stay given when pools shrink. */
function coverage(found: HostPortClass, allocated: readonly HostPort[]): Saying {
  const holds = membership(found);
  const outside = allocated.filter(({ meta }) => {
    const number = numberOfName(meta.name);
    return number !== undefined && !holds(number);
  });
  if (outside.length === 0) {
    return { type: COVERING, status: 'True', reason: 'Covered', message: 'every allocated number is in a pool' };
  }
  const message = `allocated and in no pool (any more), they stay with their claims: ${listed(outside.slice(0, NAMED).map(holding), outside.length)}`;
  return { type: COVERING, status: 'False', reason: 'AllocatedOutside', message };
}

function newsOf(found: HostPortClass, disjoint: Saying): News | undefined {
  const before = conditionOf(found.status.conditions, DISJOINT)?.status;
  if (disjoint.status !== 'False' || before === 'False') return undefined;
  return { type: 'Warning', reason: 'PoolsOverlap', message: disjoint.message };
}
