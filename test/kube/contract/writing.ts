/** Patches of pods and what keeps them from being applied, and the Events beside them. */
import {
  isConflict,
  isForbidden,
  isInvalid,
  isNamespaceEnding,
  isNotFound,
} from '../../../daemon/kube/api/apierror.ts';
import type { ApiRequest } from '../../../daemon/kube/api/client.ts';
import type { Thing } from '../apiserver/admin.ts';
import { type Case, conditionOf, type Place } from './case.ts';

const CONDITION = { type: 'berth.dev/PortsMapped', status: 'True', reason: 'PortsMapped', message: 'mapped' };
const STRATEGIC = 'application/strategic-merge-patch+json';

function tell(at: Place, body: object, name = 'web'): Promise<Thing> {
  return at.client().send({ method: 'PATCH', path: `${at.pods}/${name}/status`, type: STRATEGIC, body });
}

async function refusal(request: Promise<unknown>): Promise<unknown> {
  try {
    await request;
    return undefined;
  } catch (error) {
    return error;
  }
}

function eventOf(at: Place, name: string): object {
  const involvedObject = { kind: 'Pod', namespace: at.namespace, name: 'web' };
  return { metadata: { name, namespace: at.namespace }, involvedObject, reason: 'x', message: 'y', count: 1 };
}

export const WRITING: readonly Case[] = [
  {
    title: 'one patch of the status sets annotations and a condition; what others wrote stays, and so does the spec',
    run: async (t, at) => {
      const { metadata } = await at.create('web', { annotations: { 'berth.dev/ports': '', theirs: 'x' } });
      const before = await at.runs();
      const after = await tell(at, {
        metadata: { uid: metadata.uid, annotations: { 'berth.dev/mappings': '[]' } },
        spec: { containers: [{ name: 'app', image: 'another' }] },
        status: { conditions: [CONDITION] },
      });
      t.deepEqual(after.metadata.annotations, { 'berth.dev/ports': '', theirs: 'x', 'berth.dev/mappings': '[]' });
      t.like(conditionOf(after), CONDITION);
      t.is(conditionOf(after, 'Ready').status, 'True');
      t.deepEqual(after.spec, before.spec);
      t.deepEqual(after.status.podIPs, before.status.podIPs);
      t.not(after.metadata.resourceVersion, before.metadata.resourceVersion);
    },
  },
  {
    title: 'one patch takes both away, and the same patch again changes nothing, not even the revision',
    run: async (t, at) => {
      await at.create();
      await at.runs();
      await tell(at, {
        metadata: { annotations: { 'berth.dev/mappings': '[]' } },
        status: { conditions: [CONDITION] },
      });
      const away = {
        metadata: { annotations: { 'berth.dev/mappings': null } },
        status: { conditions: [{ type: CONDITION.type, $patch: 'delete' }] },
      };
      const first = await tell(at, away);
      t.deepEqual(first.metadata.annotations, { 'berth.dev/ports': '' });
      t.deepEqual(
        first.status.conditions.map(({ type }: Thing) => type),
        ['Ready'],
      );
      t.is((await tell(at, away)).metadata.resourceVersion, first.metadata.resourceVersion);
    },
  },
  {
    title: "kubelet's own patches keep the condition and the annotations",
    run: async (t, at) => {
      await at.create();
      await tell(at, {
        metadata: { annotations: { 'berth.dev/mappings': '[]' } },
        status: { conditions: [CONDITION] },
      });
      const after = await at.runs();
      t.like(conditionOf(after), CONDITION);
      t.is(after.metadata.annotations['berth.dev/mappings'], '[]');
    },
  },
  {
    title:
      'a patch that names another uid is a conflict or invalid, and changes nothing; one of a pod that is gone finds none',
    run: async (t, at) => {
      const former = await at.create();
      await at.admin.remove(`${at.pods}/web`, 0);
      const patch = { metadata: { uid: former.metadata.uid, annotations: { 'berth.dev/mappings': '[]' } } };
      t.true(isNotFound(await refusal(tell(at, patch))));
      await at.create();
      const error = await refusal(tell(at, patch));
      t.true(isConflict(error) || isInvalid(error), String(error));
      t.deepEqual((await at.pod()).metadata.annotations, { 'berth.dev/ports': '' });
    },
  },
  {
    title: 'annotations of more than 256 KiB are invalid',
    run: async (t, at) => {
      await at.create();
      const error = await refusal(
        tell(at, { metadata: { annotations: { 'berth.dev/mappings': 'x'.repeat(262_144) } } }),
      );
      t.true(isInvalid(error), String(error));
      t.regex(String(error), /metadata\.annotations: Too long/);
    },
  },
  {
    title: "what the agent's role does not hold is forbidden, and who is not known is not let in",
    run: async (t, at) => {
      await at.create();
      const body = { metadata: { annotations: { 'berth.dev/mappings': '[]' } } };
      const requests: readonly (readonly ['agent' | 'reader', ApiRequest])[] = [
        ['agent', { method: 'PATCH', path: `${at.pods}/web`, type: STRATEGIC, body }],
        ['agent', { method: 'POST', path: at.pods, body: { metadata: { name: 'x' } } }],
        ['agent', { method: 'GET', path: '/api/v1/nodes' }],
        ['reader', { method: 'PATCH', path: `${at.pods}/web/status`, type: STRATEGIC, body }],
        ['reader', { method: 'POST', path: at.events, body: eventOf(at, 'x') }],
      ];
      for (const [account, request] of requests) {
        t.true(isForbidden(await refusal(at.client(account).send(request))), `${request.method} ${request.path}`);
      }
      await t.throwsAsync(at.client('stranger').send({ method: 'GET', path: `${at.pods}/web` }), {
        code: 'API_REFUSED',
        message: /401 Unauthorized/,
      });
    },
  },
  {
    title:
      'an Event is created once, read and counted by patches; where there is no namespace, or one that ends, there is none',
    run: async (t, at) => {
      const client = at.client();
      const event = eventOf(at, 'web.1');
      await client.send({ method: 'POST', path: at.events, body: event });
      t.true(isConflict(await refusal(client.send({ method: 'POST', path: at.events, body: event }))));
      const type = 'application/merge-patch+json';
      const patch = (body: object, name = 'web.1'): Promise<Thing> =>
        client.send({ method: 'PATCH', path: `${at.events}/${name}`, type, body });
      t.is((await patch({})).count, 1);
      t.is((await patch({ count: 2 })).count, 2);
      t.true(isNotFound(await refusal(patch({}, 'none'))));
      const nowhere = { ...eventOf(at, 'x'), metadata: { name: 'x', namespace: 'nowhere' } };
      const lost = client.send({ method: 'POST', path: '/api/v1/namespaces/nowhere/events', body: nowhere });
      t.true(isNotFound(await refusal(lost)) || isInvalid(await refusal(lost)));
      await at.admin.remove(`/api/v1/namespaces/${at.namespace}`);
      const late = refusal(client.send({ method: 'POST', path: at.events, body: eventOf(at, 'late') }));
      t.true(isNamespaceEnding(await late), String(await late));
    },
  },
];
