/** Removes the table `inet berth`, and no other; then the tracked flows that were translated by it, which would go on without it. */
import { type Adopted, adopt } from '../../../rules/adoption.ts';
import { messageOf } from '../../core/errors.ts';
import { disagrees, type Flow, type FormerTarget } from '../../core/flow.ts';
import type { Grant } from '../../core/state.ts';
import type { FlowPorts } from '../ports.ts';
import type { FlowRemoval, TableRemoval } from './ports.ts';
import { counted, done, type Step, verb } from './steps.ts';

const TABLE_REMEDY = 'remove it by hand: nft delete table inet berth';

/** `found` gets the mappings that stood in the table. */
export function rulesStep(table: TableRemoval, found: (mappings: readonly Adopted[]) => void): Step {
  return {
    name: 'rules',
    remedy: TABLE_REMEDY,
    async run(dryRun) {
      let mappings: readonly Adopted[] = [];
      try {
        const elements = await table.look();
        if (elements === undefined) return done('there is no table inet berth');
        mappings = adopt(elements);
        found(mappings);
      } catch (error) {
        if (dryRun) throw error;
        // That its content cannot be read keeps nobody from deleting it; what the state file knows tells of its flows.
        await table.remove();
        return done(`deleted the table inet berth, unread (${messageOf(error)})`);
      }
      if (!dryRun) await table.remove();
      const what = `the table inet berth with ${counted(mappings.length, 'mapping')}`;
      return done(`${verb(dryRun, 'deleted', 'delete')} ${what}`);
    },
  };
}

/** What is known of the flows, when the step runs. */
export interface FlowKnowledge {
  readonly mappings: readonly Adopted[];
  readonly grants: readonly Grant[];
  /** By uid. */
  readonly podIPs: ReadonlyMap<string, readonly string[]>;
}

export function flowsStep(
  flows: FlowRemoval,
  isNodeAddress: () => (address: string) => boolean,
  known: () => FlowKnowledge,
): Step {
  return {
    name: 'flows',
    remedy: 'run berth uninstall again, or find them with conntrack -L --dst-nat and delete them with conntrack -D',
    async run(dryRun) {
      const former = formerTargets(known());
      if (former.length === 0) return done('no flow can lead through a mapping');
      const ports: readonly FlowPorts[] = former.map(({ protocol, hostPort: port, size }) => ({
        protocol,
        port,
        size,
      }));
      const isMine = throughMappings(former, isNodeAddress());
      const count = dryRun ? await flows.count(ports, isMine) : await flows.purge(ports, isMine);
      return done(`${verb(dryRun, 'deleted', 'delete')} ${counted(count, 'tracked flow')}`);
    },
  };
}

/**
 * Where flows of Berth may lead to: the mappings of the table, and those that only the state file knows, after a crash between the
 * table and the flows. Of the latter the pod's address is known only while the pod is there.
 */
export function formerTargets({ mappings, grants, podIPs }: FlowKnowledge): readonly FormerTarget[] {
  const installed = new Set(mappings.map(keyOf));
  const remembered = grants
    .filter((grant) => !installed.has(keyOf(grant)))
    .map(({ uid, protocol, hostPort, size, hostIP, containerPort }) => {
      const addresses = podIPs.get(uid) ?? [];
      return {
        ...{ protocol, hostPort, size, containerPort },
        ...(hostIP === undefined ? {} : { hostIP }),
        ...(addresses.length === 0 ? {} : { podIPs: addresses }),
      };
    });
  return [...mappings, ...remembered];
}

function keyOf({ uid, name, protocol, hostPort }: Pick<Grant, 'uid' | 'name' | 'protocol' | 'hostPort'>): string {
  return `${uid}/${name}/${protocol}/${hostPort}`;
}

/** A flow that leads through a mapping disagrees when there is no mapping any more. */
function throughMappings(
  former: readonly FormerTarget[],
  isNodeAddress: (address: string) => boolean,
): (flow: Flow) => boolean {
  const truth = { mapping: () => undefined, draining: () => [], stands: () => false, former, isNodeAddress };
  return (flow) => disagrees(flow, truth);
}
