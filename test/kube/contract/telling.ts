/** The publisher, and what takes back what it wrote, on a server that answers as it does. */
import type { PodEvent, PodResult } from '../../../daemon/core/vocabulary.ts';
import { ApiAnnouncements } from '../../../daemon/kube/apiannouncements.ts';
import { decodeApiPod } from '../../../daemon/kube/apipod.ts';
import { ApiPublisher } from '../../../daemon/kube/publisher.ts';
import { systemClock } from '../../../daemon/ops/clock.ts';
import type { Account } from '../apiserver/accounts.ts';
import type { Thing } from '../apiserver/admin.ts';
import { type Case, conditionOf, eventually, type Place } from './case.ts';

const PENDING: PodResult = {
  annotations: { 'port.berth.dev/web': '23117' },
  condition: { status: 'False', reason: 'PodIPPending', message: 'later' },
};
const MAPPED: PodResult = {
  annotations: { 'port.berth.dev/web': '23117', 'berth.dev/mappings': '[]' },
  condition: { status: 'True', reason: 'PortsMapped', message: 'mapped: web 23117/TCP' },
};
const FULL: PodEvent = { type: 'Warning', reason: 'PoolExhausted', message: 'no number is free' };

function publisherOf(at: Place, account: Account = 'agent') {
  const errors: string[] = [];
  const publisher = new ApiPublisher({
    client: at.client(account),
    node: at.node,
    clock: systemClock,
    random: Math.random,
    onError: ({ message }) => errors.push(message),
  });
  return { publisher, errors, written: () => eventually('everything is written', () => publisher.unfinished === 0) };
}

async function eventsOf(at: Place): Promise<readonly Thing[]> {
  return (await at.admin.get(at.events)).items;
}

export const TELLING: readonly Case[] = [
  {
    title: 'a pod is told its promise, then its mappings, each in one write, and the next agent writes nothing',
    run: async (t, at) => {
      const created = await at.create();
      const { publisher, errors, written } = publisherOf(at);
      publisher.publish(decodeApiPod(created), PENDING);
      await written();
      t.like(conditionOf(await at.pod()), { ...PENDING.condition });
      const running = await at.runs();
      publisher.publish(decodeApiPod(running), MAPPED);
      await written();
      const told = await at.pod();
      t.deepEqual(told.metadata.annotations, { 'berth.dev/ports': '', ...MAPPED.annotations });
      t.like(conditionOf(told), { ...MAPPED.condition });
      t.regex(conditionOf(told).lastTransitionTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      t.is(conditionOf(told, 'Ready').status, 'True');

      const next = publisherOf(at);
      next.publisher.publish(decodeApiPod(told), MAPPED);
      await next.written();
      t.is((await at.pod()).metadata.resourceVersion, told.metadata.resourceVersion);
      t.deepEqual([errors, next.errors], [[], []]);
    },
  },
  {
    title: 'what was meant for a former life of a pod, or for one that is gone, is dropped without a failure',
    run: async (t, at) => {
      const former = decodeApiPod(await at.create());
      const gone = decodeApiPod(await at.create('gone'));
      for (const name of ['web', 'gone']) await at.admin.remove(`${at.pods}/${name}`, 0);
      await at.create();
      const { publisher, errors, written } = publisherOf(at);
      publisher.publish(former, MAPPED);
      publisher.publish(gone, MAPPED);
      await written();
      t.deepEqual((await at.pod()).metadata.annotations, { 'berth.dev/ports': '' });
      t.deepEqual(errors, []);
    },
  },
  {
    title: 'what somebody else changes of it is put right',
    run: async (t, at) => {
      const { publisher, errors, written } = publisherOf(at);
      publisher.publish(decodeApiPod(await at.create()), MAPPED);
      await written();
      const edit = { metadata: { annotations: { 'port.berth.dev/web': '1', theirs: 'x' } } };
      publisher.publish(decodeApiPod(await at.admin.patch(`${at.pods}/web`, edit)), MAPPED);
      await written();
      t.deepEqual((await at.pod()).metadata.annotations, { 'berth.dev/ports': '', theirs: 'x', ...MAPPED.annotations });
      t.deepEqual(errors, []);
    },
  },
  {
    title: 'an account that may not write is told of once for each right, with the remedy',
    run: async (t, at) => {
      const { publisher, errors, written } = publisherOf(at, 'reader');
      for (const name of ['one', 'two']) {
        const pod = decodeApiPod(await at.create(name));
        publisher.publish(pod, MAPPED);
        publisher.event(pod, FULL);
      }
      await written();
      await publisher.flush();
      t.is(errors.length, 2);
      t.regex(errors.join('\n'), /allow the agent's service account to patch pods\/status/);
      t.regex(errors.join('\n'), /allow the agent's service account to create events/);
    },
  },
  {
    title: 'the same Event again is counted, by the next agent too, and written anew when it has run out',
    run: async (t, at) => {
      const pod = decodeApiPod(await at.create());
      const told = async (count: number) => {
        const { publisher } = publisherOf(at);
        publisher.event(pod, FULL);
        await eventually(`an Event of count ${count}`, async () => (await eventsOf(at))[0]?.count === count);
        return publisher;
      };
      await told(1);
      // A time is given to the second: within one, the next agent takes the Event for its own whose reply was lost.
      await eventually(
        'the second is over',
        async () => Date.parse((await eventsOf(at))[0].lastTimestamp) + 1_000 < Date.now(),
      );
      const publisher = await told(2);
      const [event] = await eventsOf(at);
      t.like(event, {
        reason: 'PoolExhausted',
        type: 'Warning',
        message: FULL.message,
        source: { component: 'berth' },
      });
      t.is(event.involvedObject.uid, pod.uid);
      await at.admin.remove(`${at.events}/${event.metadata.name}`);
      publisher.event(pod, FULL);
      await eventually('it is written anew', async () => (await eventsOf(at))[0]?.count === 1);
      t.is((await eventsOf(at)).length, 1);
    },
  },
  {
    title: 'what pods were told is found and taken back, and nothing else',
    run: async (t, at) => {
      const { publisher, written } = publisherOf(at);
      await at.create('other', { annotations: { theirs: 'x' } });
      publisher.publish(decodeApiPod(await at.create()), MAPPED);
      await written();
      await at.runs();
      const signal = new AbortController().signal;
      const options = { client: at.client(), node: at.node, clock: systemClock, random: Math.random, signal };
      const announcements = new ApiAnnouncements(options);
      const found = await announcements.find(new Set());
      t.deepEqual(
        found.map(({ name }) => name),
        ['web'],
      );
      t.deepEqual(await announcements.withdraw(found), []);
      const pod = await at.pod();
      t.deepEqual(pod.metadata.annotations, { 'berth.dev/ports': '' });
      t.deepEqual(
        pod.status.conditions.map(({ type }: Thing) => type),
        ['Ready'],
      );
    },
  },
];
