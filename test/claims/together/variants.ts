/**
 * Known bugs, put between the agents and their world or between the controller and its API, one at a time: each must break the rule
 * that forbids it. All of them need both sides: an agent that is right about its pods, and a controller that is right about claims.
 */
import type { ClaimApi } from '../../../daemon/claims/ports.ts';
import type { ClaimStatus } from '../../../daemon/core/claim.ts';
import type { ClaimSource, World } from '../../../daemon/reconcile/ports.ts';
import type { Element } from '../../../rules/element.ts';
import type { AgentLife, WrapWorld } from '../../simulate/agentlife.ts';
import type { ApiLink } from '../../simulate/apilink.ts';
import type { Ground } from '../../simulate/ground.ts';
import { rulesOf } from '../../simulate/table.ts';
import { seeing } from '../../simulate/variants/hearing.ts';
import { replacing } from '../../simulate/variants/variant.ts';
import type { Thing } from '../rig.ts';
import { but } from '../variants.ts';
import { NUMBERS } from './kerneljudge.ts';

export interface TogetherVariant {
  readonly title: string;
  readonly rule: string;
  readonly alter?: (api: ClaimApi) => ClaimApi;
  /** Made anew for every run: what it remembers outlives an agent. */
  readonly make?: () => WrapWorld<Ground>;
}

const PROMISE = 'port.berth.dev/web';
const OWN = 'a number leads to pods of its claim only';

/** Claims are read by another way. */
function reading(source: (inner: ClaimSource, life: AgentLife<Ground>) => ClaimSource): WrapWorld<Ground> {
  return (world: World, life) =>
    world.claims === undefined ? world : { ...world, claims: source(world.claims, life) };
}

function isClaimed({ first }: { readonly first: number }): boolean {
  return first >= NUMBERS.first && first <= NUMBERS.last;
}

export const TOGETHER_VARIANTS: readonly TogetherVariant[] = [
  {
    title: 'a claim gives its number to new pods while it is being deleted',
    rule: OWN,
    make: () =>
      reading((claims, life) => ({
        get: async (namespace, name) => {
          const status = await claims.get(namespace, name);
          if (status.kind === 'bound') return status;
          const path = `/apis/berth.dev/v1alpha1/namespaces/${namespace}/hostportclaims/${name}`;
          const { api } = life.link as ApiLink;
          const claim: Thing = await api.send({ method: 'GET', path }).catch(() => undefined);
          if (claim?.status?.port === undefined) return status;
          return { ...claim.status, kind: 'bound' };
        },
      })),
  },
  {
    title: 'a claim is known by its name for ever: that it is another one by now is not seen',
    rule: OWN,
    make: () => {
      const known = new Map<string, ClaimStatus>();
      return reading((claims) => ({
        get: async (namespace, name) => {
          const key = `${namespace}/${name}`;
          const status = known.get(key) ?? (await claims.get(namespace, name));
          if (status.kind === 'bound') known.set(key, status);
          return status;
        },
      }));
    },
  },
  {
    title: 'a claim is read from a cache that is one answer behind',
    rule: OWN,
    make: () => {
      const last = new Map<string, ClaimStatus>();
      return reading((claims) => ({
        get: async (namespace, name) => {
          const key = `${namespace}/${name}`;
          const status = await claims.get(namespace, name);
          const before = last.get(key) ?? status;
          last.set(key, status);
          return before;
        },
      }));
    },
  },
  {
    title: 'a claim that is being deleted goes although pods use it',
    rule: OWN,
    alter: (api) => but(api, { podsOf: async () => [] }),
  },
  {
    title: 'of the pods of a namespace the first page is read',
    rule: OWN,
    alter: (api) => but(api, { podsOf: async (namespace) => (await api.podsOf(namespace)).slice(0, 2) }),
  },
  {
    title: 'numbers are counted, and nobody looks whether the next one is free',
    rule: 'one number, one claim on all nodes',
    alter: (api) => {
      const given = new Map<string, number>();
      return but(api, {
        setStatus: (kind, target, status) => {
          if (kind !== 'claim' || !('protocols' in status) || status.port === undefined)
            return api.setStatus(kind, target, status);
          const port = given.get(target.uid) ?? NUMBERS.first + (given.size % 3);
          given.set(target.uid, port);
          return api.setStatus(kind, target, { ...status, port, hostPortName: `hp-${port}` });
        },
      });
    },
  },
  {
    title: 'a number goes to the next pod before that is ready',
    rule: 'a hand-over is to a ready pod',
    make: () => seeing((pod) => ({ ...pod, ready: true })),
  },
  {
    title: 'a number goes to the next pod as soon as that is ready, whatever the class says',
    rule: 'a hand-over waits as the class says',
    make: () =>
      reading((claims) => ({
        get: async (namespace, name) => {
          const status = await claims.get(namespace, name);
          return status.kind === 'bound' ? { ...status, handover: 'OnReady' } : status;
        },
      })),
  },
  {
    title: 'a number follows readiness, back and forth',
    rule: 'a hand-over never goes back',
    make: () => seeing((pod) => ({ ...pod, createdAt: pod.createdAt + (pod.ready === true ? 1e12 : 0) })),
  },
  {
    title: 'an agent that starts takes away the numbers of claims, as it has not asked for them yet',
    rule: 'no number is lost',
    make: () => {
      const started = new WeakSet<World>();
      return replacing('datapath', (datapath, world, life) => ({
        read: async () => {
          const installed = await datapath.read();
          if (started.has(world)) return installed;
          started.add(world);
          const rules = rulesOf(life.stage.node.ruleset.elements()).filter(isClaimed);
          const remove: readonly Element[] = rules.map(({ element }) => element);
          if (remove.length > 0) await datapath.apply({ remove, add: [] });
          return datapath.read();
        },
      }));
    },
  },
  {
    title: 'what has ended is not taken down, as only pods that are gone are',
    rule: 'what has ended is taken down',
    make: () => seeing((pod) => ({ ...pod, phase: pod.phase === 'Pending' ? 'Pending' : 'Running', ended: false })),
  },
  {
    title: 'a pod is promised the number that the last claim of that name had',
    rule: 'a pod is told the numbers of its claims only',
    make: () => {
      const last = new Map<string, string>();
      return replacing('publisher', (publisher) => ({
        publish: (pod, result) => {
          const key = `${pod.namespace}/${pod.annotations['claim.berth.dev/web']}`;
          const known = result.annotations[PROMISE] ?? last.get(key);
          if (known !== undefined) last.set(key, known);
          const promise = known === undefined ? {} : { [PROMISE]: known };
          publisher.publish(pod, { ...result, annotations: { ...result.annotations, ...promise } });
        },
      }));
    },
  },
];
