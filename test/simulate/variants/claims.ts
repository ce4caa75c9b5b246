/** Bugs in what is made of claims, and of the pods that take turns with the number of one. */
import type { ClaimSource, World } from '../../../daemon/reconcile/ports.ts';
import type { Stage } from '../stage.ts';
import { rulesOf } from '../table.ts';
import { seeing } from './hearing.ts';
import { replacing, type Variant } from './variant.ts';

/** Claims are read by another way, in the runs that have some. */
function reading(source: (inner: ClaimSource) => ClaimSource): (world: World) => World {
  return (world) => (world.claims === undefined ? world : { ...world, claims: source(world.claims) });
}

/** The pod to which the number of a claim leads. */
function leadsTo({ node }: Stage, port: number): string | undefined {
  return rulesOf(node.ruleset.elements()).find(({ first }) => first === port)?.podIP;
}

export const CLAIM_VARIANTS: readonly Variant[] = [
  {
    bug: 'a number is handed over to the next pod before that is ready',
    whose: 'hostPort of a Deployment with strategy Recreate; one object of the new kind replaces the old at once',
    breaks: ['I6'],
    make: () => seeing((pod) => ({ ...pod, ready: true })),
  },
  {
    bug: 'a number follows readiness, back and forth',
    whose: 'a Service of one port for two pods, as their endpoints come and go',
    breaks: ['I6'],
    make: () => seeing((pod) => ({ ...pod, createdAt: pod.createdAt + (pod.ready === true ? 1e12 : 0) })),
  },
  {
    bug: 'a number stays with the first pod of its claim for as long as that lives',
    whose: 'a lease that is never handed on',
    breaks: ['I8'],
    make: () =>
      reading((claims) => ({
        get: async (namespace, name) => {
          const status = await claims.get(namespace, name);
          return status.kind === 'bound' ? { ...status, handover: 'OnTerminated' } : status;
        },
      })),
  },
  {
    bug: 'open connections are cut when a number is handed over',
    whose:
      "kube-proxy, UDP entries of an endpoint that is not in the Service any more; Berth's own rule for pods that are gone",
    breaks: ['I6'],
    make: () =>
      replacing('flows', (flows, _world, { stage }) => ({
        purge: (ports, disagrees) =>
          flows.purge(ports, (flow) => {
            const isClaimed = stage.claims?.numbered(flow.port) !== undefined;
            const isOther = flow.replySource.startsWith('10.244.') && leadsTo(stage, flow.port) !== flow.replySource;
            return disagrees(flow) || (isClaimed && stage.node.hasAddress(flow.destination) && isOther);
          }),
      })),
  },
  {
    bug: 'the number of one claim is given to the pods of another',
    whose: 'hostport-allocator, claims that name the same HostPort',
    breaks: ['I1'],
    make: () => {
      let first: Awaited<ReturnType<ClaimSource['get']>> | undefined;
      return reading((claims) => ({
        get: async (namespace, name) => {
          const status = await claims.get(namespace, name);
          if (status.kind === 'bound') first ??= status;
          return status.kind === 'bound' && first !== undefined ? first : status;
        },
      }));
    },
  },
];
