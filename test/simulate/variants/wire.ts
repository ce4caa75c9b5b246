/** Bugs between the agent and the API server: in the reflector, in the publisher, and in the client below both. */
import { asApiError, isForbidden, isInvalid, isNotFound } from '../../../daemon/kube/api/apierror.ts';
import type { Api, ApiRequest } from '../../../daemon/kube/api/client.ts';
import { mergePatch, strategicPatch } from '../../../daemon/kube/api/patches.double.ts';
import type { WrapWorld } from '../agentlife.ts';
import { ApiLink } from '../apilink.ts';
import { rulesOf } from '../table.ts';
import { telling } from './hearing.ts';
import type { Variant } from './variant.ts';

/** Only where the agent talks to an API server. */
function online(wrap: WrapWorld): WrapWorld {
  return (world, life) => (life.link instanceof ApiLink ? wrap(world, life) : world);
}

/** The reflector and the publisher have another client. */
function through(change: (api: Api) => Partial<Api>): WrapWorld {
  return (world, { link }) => {
    if (!(link instanceof ApiLink)) return world;
    link.alter((api) => ({
      send: (request) => api.send(request),
      stream: (request, idleMs) => api.stream(request, idleMs),
      ...change(api),
    }));
    return { ...world, source: link.source };
  };
}

function patching(send: (api: Api, request: ApiRequest) => Promise<unknown>): WrapWorld {
  return through((api) => ({
    send: (request) => {
      const ofPod = request.method === 'PATCH' && request.path.includes('/pods/');
      return ofPod ? send(api, request) : api.send(request);
    },
  }));
}

function statusOf(error: unknown): number {
  return asApiError('patch', error).refusal?.status ?? 0;
}

export const WIRE_VARIANTS: readonly Variant[] = [
  {
    bug: 'a revision that is no longer kept is passed over: the watch goes on from the present one',
    whose: 'watches that are opened anew without a list',
    breaks: ['I8', 'I7', 'I3'],
    make: () =>
      online(
        telling((observer) => {
          let first = true;
          return {
            listed: (pods) => {
              if (first) observer.listed(pods);
              first = false;
            },
          };
        }),
      ),
  },
  {
    bug: 'the first list is taken for the truth, from a watch cache that is behind',
    whose: 'informers, resourceVersion=0',
    breaks: ['I6'],
    make: () => (world, life) =>
      online(
        telling((observer) => ({
          listed: (pods) => {
            const listed = new Set(pods.map(({ uid }) => uid));
            for (const { uid } of rulesOf(life.stage.node.ruleset.elements())) {
              const pod = life.stage.api.known.get(uid);
              if (pod !== undefined && !listed.has(uid)) observer.deleted(pod);
            }
            observer.listed(pods);
          },
        })),
      )(world, life),
  },
  {
    bug: 'a watch that has gone silent is waited for',
    whose: '@kubernetes/client-node, no idle time limit',
    breaks: ['I8', 'I7', 'I3', 'I2', 'I9'],
    make: () => through((api) => ({ stream: (request) => api.stream(request, Number.MAX_SAFE_INTEGER) })),
  },
  {
    bug: 'a write that fails is given up, as by a 5xx or by a reply that is lost',
    whose: 'controllers that log the error and go on',
    breaks: ['I9', 'I7', 'I2'],
    make: () =>
      patching(async (api, request) => {
        try {
          return await api.send(request);
        } catch (error) {
          const status = statusOf(error);
          if (status > 0 && status < 429) throw error;
          const stands = await api.send({ method: 'GET', path: request.path.replace(/\/status$/, '') });
          const patch = request.path.endsWith('/status') ? strategicPatch : mergePatch;
          return patch(stands, request.body);
        }
      }),
  },
  {
    bug: 'a write names no uid: the successor is given what was meant for its predecessor',
    whose: 'Galaxy, patches by namespace and name',
    breaks: ['I1'],
    make: () =>
      patching((api, request) => {
        const { metadata, ...rest } = request.body as { readonly metadata: { readonly uid: string } };
        const { uid: _, ...unnamed } = metadata;
        return api.send({ ...request, body: { ...rest, metadata: unnamed } });
      }),
  },
  {
    bug: 'a write that failed is repeated at once, until it is done',
    whose: 'clients that retry by themselves',
    breaks: ['I10'],
    make: () =>
      patching(async (api, request) => {
        for (;;) {
          try {
            return await api.send(request);
          } catch (error) {
            if (isNotFound(error) || isInvalid(error) || isForbidden(error) || statusOf(error) === 409) throw error;
          }
        }
      }),
  },
];
