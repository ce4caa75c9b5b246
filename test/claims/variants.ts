/**
 * Known bugs of other systems, put between the controller and its API server, one at a time: each must break the rule that forbids it.
 * The first two are those of hostport-allocator: a number chosen from a cache and not checked when it is written, and a claim that is
 * bound to whatever HostPort it names.
 */
import type { ClaimApi, ClaimObserver, Seen, SeenKind } from '../../daemon/claims/ports.ts';
import { nameOfNumber } from '../../daemon/core/claims/numbers.ts';
import type { HostPort } from '../../daemon/core/claims/objects.ts';

export interface Variant {
  readonly title: string;
  readonly rules: readonly string[];
  readonly alter: (api: ClaimApi) => ClaimApi;
}

const ONE = 'one number, one claim';
const TAKES = 'no claim takes another\u2019s';

/** The API, but for what is given. */
export function but(api: ClaimApi, given: Partial<ClaimApi>): ClaimApi {
  const own: ClaimApi = {
    watch: (...args) => api.watch(...args),
    claim: (...args) => api.claim(...args),
    hostPort: (...args) => api.hostPort(...args),
    claims: () => api.claims(),
    hostPorts: () => api.hostPorts(),
    podsOf: (...args) => api.podsOf(...args),
    makeHostPort: (...args) => api.makeHostPort(...args),
    makeClaim: (...args) => api.makeClaim(...args),
    setClaimRef: (...args) => api.setClaimRef(...args),
    setFinalizers: (...args) => api.setFinalizers(...args),
    setStatus: (...args) => api.setStatus(...args),
    removeHostPort: (...args) => api.removeHostPort(...args),
  };
  return { ...own, ...given };
}

/** What is watched, as `change` shows it. */
export function seen(
  api: ClaimApi,
  change: <K extends SeenKind>(kind: K, object: Seen[K]) => Seen[K] | undefined,
): ClaimApi['watch'] {
  return (observer, signal) => {
    const told: ClaimObserver = {
      listed: (kind, objects) =>
        observer.listed(
          kind,
          objects.flatMap((one) => change(kind, one) ?? []),
        ),
      changed: (kind, object) => {
        const shown = change(kind, object);
        if (shown !== undefined) observer.changed(kind, shown);
      },
      deleted: (kind, object) => observer.deleted(kind, object),
      failed: (error) => observer.failed(error),
    };
    return api.watch(told, signal);
  };
}

export const VARIANTS: readonly Variant[] = [
  {
    title: 'a number from the cache is written without looking whether somebody else has it by now',
    rules: [ONE, TAKES],
    alter: (api) =>
      but(api, {
        makeHostPort: async (number, className, claim) => {
          const made = await api.makeHostPort(number, className, claim);
          if (made.kind === 'written') return made;
          const there = await api.hostPort(nameOfNumber(number));
          return there === undefined ? made : api.setClaimRef(there.meta, claim, there.meta.finalizers);
        },
      }),
  },
  {
    title: 'a claim is bound to the HostPort that it names, whoever has it and of whatever class it is',
    rules: [ONE, TAKES, 'class'],
    alter: (api) => {
      const open = (hostPort: HostPort): HostPort => ({ ...hostPort, className: 'games', claimRef: undefined });
      return but(api, {
        watch: seen(api, (kind, object) =>
          kind === 'hostport' ? (open(object as HostPort) as typeof object) : object,
        ),
        setClaimRef: async (target, claim) => {
          const there = await api.hostPort(target.name);
          if (there === undefined) return { kind: 'stale' };
          const claimRef = claim && { ...claim };
          return { kind: 'written', object: { ...there, className: 'games', claimRef } };
        },
      });
    },
  },
  {
    title: 'a claim that is not in the cache is taken for gone',
    rules: [TAKES, ONE],
    alter: (api) => but(api, { claim: async () => undefined }),
  },
  {
    title: 'a status is written over whatever is there',
    rules: ['number kept', TAKES],
    alter: (api) =>
      but(api, {
        setStatus: async (kind, target, status) => {
          const { namespace, name } = target;
          const now = kind === 'claim' && namespace !== undefined ? await api.claim({ namespace, name }) : undefined;
          return api.setStatus(kind, now?.meta ?? target, status);
        },
      }),
  },
  {
    title: 'a HostPort is taken from a claim that has no number yet without telling the claim first',
    rules: [TAKES, ONE, 'class'],
    alter: (api) =>
      but(api, {
        setStatus: async (kind, target, status) => {
          const withdrawn = status.conditions.some(({ reason }) => reason === 'HostPortWithdrawn');
          if (!withdrawn || kind !== 'claim' || target.namespace === undefined)
            return api.setStatus(kind, target, status);
          const object = await api.claim({ namespace: target.namespace, name: target.name });
          return object === undefined ? { kind: 'stale' } : { kind: 'written', object: object as never };
        },
      }),
  },
  {
    title: 'a claim that is being deleted goes although pods use it',
    rules: ['in use'],
    alter: (api) => but(api, { podsOf: async () => [] }),
  },
  {
    title: 'what was once answered about pods is believed for ever',
    rules: ['it converges', 'in use'],
    alter: (api) => {
      const answers = new Map<string, ReturnType<ClaimApi['podsOf']>>();
      return but(api, {
        podsOf: (namespace) => {
          const answer = answers.get(namespace) ?? api.podsOf(namespace);
          answers.set(namespace, answer);
          return answer;
        },
      });
    },
  },
];
