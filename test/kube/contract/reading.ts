/** Lists, watches and questions, as the reflector needs them. */
import { isAhead, isExpired } from '../../../daemon/kube/api/apierror.ts';
import { type WatchEvent, watchObjects } from '../../../daemon/kube/api/watch.ts';
import { ApiClaims } from '../../../daemon/kube/claims.ts';
import { readNode } from '../../../daemon/kube/node.ts';
import { Reflector } from '../../../daemon/kube/reflector.ts';
import { systemClock } from '../../../daemon/ops/clock.ts';
import type { Thing } from '../apiserver/admin.ts';
import { Watching } from '../scratch.ts';
import { type Case, eventually, type Place } from './case.ts';

function listOf(at: Place, query: Readonly<Record<string, string>> = {}): Promise<Thing> {
  const fieldSelector = `spec.nodeName=${at.node}`;
  return at.client().send({ method: 'GET', path: '/api/v1/pods', query: { fieldSelector, ...query } });
}

function watchFrom(at: Place, revision: string, timeoutSeconds = 300, signal = new AbortController().signal) {
  const selector = { fieldSelector: `spec.nodeName=${at.node}` };
  const idleMs = 60_000;
  return watchObjects(at.client(), { path: '/api/v1/pods', selector, revision, timeoutSeconds, idleMs, signal });
}

/** So many events of a watch from the revision. */
async function eventsFrom(at: Place, revision: string, count: number): Promise<readonly WatchEvent[]> {
  const end = new AbortController();
  const events: WatchEvent[] = [];
  for await (const event of watchFrom(at, revision, 300, end.signal)) {
    events.push(event);
    if (events.length === count) break;
  }
  end.abort();
  return events;
}

function told(events: readonly WatchEvent[]): readonly string[] {
  return events.map((event) => `${event.kind} ${event.kind === 'bookmark' ? '' : nameOf(event.object)}`);
}

function nameOf(object: Thing): string {
  return object.metadata.name;
}

export function reflectorOf(at: Place): Reflector {
  const options = { clock: systemClock, random: Math.random, reconnectCapMs: 500 };
  return new Reflector({ client: at.client(), node: at.node, ...options });
}

export const READING: readonly Case[] = [
  {
    title: 'where claims are not installed that is the answer to whoever names one',
    run: async (t, at) => {
      const claim = await new ApiClaims(at.client()).get(at.namespace, 'lobby');
      t.deepEqual(claim, { kind: 'pending', message: 'the cluster has no HostPortClaims; install deploy/claims' });
    },
  },
  {
    title: 'the pods of a node are listed with a revision, those of other nodes are not',
    run: async (t, at) => {
      await at.create();
      await at.create('elsewhere', { spec: { nodeName: 'another' } });
      for (const query of [{}, { resourceVersion: '0' }]) {
        const list = await eventually('the cache has the pod', async () => {
          const found = await listOf(at, query);
          return found.items.length > 0 && found;
        });
        t.deepEqual(list.items.map(nameOf), ['web']);
        t.is(list.items[0].kind, undefined);
        t.regex(list.metadata.resourceVersion, /^[1-9]\d*$/);
      }
    },
  },
  {
    title: 'a list in pages is of the revision of its first page',
    run: async (t, at) => {
      for (const name of ['one', 'two', 'three']) await at.create(name);
      const first = await listOf(at, { limit: '1' });
      await at.create('later');
      const names: string[] = first.items.map(nameOf);
      for (let page = first; page.metadata.continue; names.push(...page.items.map(nameOf))) {
        page = await listOf(at, { limit: '1', continue: page.metadata.continue });
        t.is(page.metadata.resourceVersion, first.metadata.resourceVersion);
      }
      t.deepEqual(names.toSorted(), ['one', 'three', 'two']);
    },
  },
  {
    title: 'every change of a pod of the node is told once, in its order, with a revision that grows',
    run: async (t, at) => {
      const { metadata } = await listOf(at);
      await at.create();
      await at.create('elsewhere', { spec: { nodeName: 'another' } });
      await at.runs();
      await at.runs('elsewhere');
      await at.admin.remove(`${at.pods}/web`, 0);
      const events = await eventsFrom(at, metadata.resourceVersion, 4);
      // A deletion at once is a mark with a grace period of 0, too, before it is one.
      t.deepEqual(told(events), ['changed web', 'changed web', 'changed web', 'deleted web']);
      const revisions = events.map(({ revision }) => BigInt(revision));
      t.deepEqual(
        revisions,
        revisions.toSorted((one, other) => (one < other ? -1 : 1)),
      );
    },
  },
  {
    title: 'a watch goes on behind a revision: nothing is lost, nothing told twice',
    run: async (t, at) => {
      const { metadata } = await listOf(at);
      await at.create('one');
      await at.create('two');
      const [first] = await eventsFrom(at, metadata.resourceVersion, 1);
      await at.create('three');
      t.deepEqual(told(await eventsFrom(at, first?.revision ?? '', 2)), ['changed two', 'changed three']);
    },
  },
  {
    title: 'a watch ends at its time limit, after a bookmark of what happened elsewhere',
    run: async (t, at) => {
      const { metadata } = await listOf(at);
      const elsewhere = await at.create('elsewhere', { spec: { nodeName: 'another' } });
      const events: WatchEvent[] = [];
      for await (const event of watchFrom(at, metadata.resourceVersion, 5)) events.push(event);
      t.deepEqual([...new Set(events.map(({ kind }) => kind))], ['bookmark']);
      t.true(BigInt(events.at(-1)?.revision ?? 0) >= BigInt(elsewhere.metadata.resourceVersion));
    },
  },
  {
    title: 'a pod that comes, gets an address, is asked to end, ends, and comes again is told with its uids',
    run: async (t, at) => {
      await using watching = new Watching(reflectorOf(at));
      await eventually('listed', () => watching.news.includes('listed'));
      const first = await at.create();
      await at.runs('web', '10.0.0.9');
      await eventually('its address', () => watching.pods.get('web')?.podIPs[0] === '10.0.0.9');
      await at.admin.remove(`${at.pods}/web`, 30);
      await eventually('that it ends', () => watching.pods.get('web')?.terminating === true);
      await at.admin.remove(`${at.pods}/web`, 0);
      const second = await at.create();
      await eventually('the next one', () => watching.pods.get('web')?.uid === second.metadata.uid);
      t.not(second.metadata.uid, first.metadata.uid);
      t.true(watching.news.includes(`deleted web ${first.metadata.uid}`));
      t.deepEqual(watching.errors, []);
    },
  },
  {
    title: '250 pods that appear at once are all told, and listed',
    run: async (t, at) => {
      const source = reflectorOf(at);
      await using watching = new Watching(source);
      await eventually('listed', () => watching.news.includes('listed'));
      await Promise.all(Array.from({ length: 250 }, (_, index) => at.create(`pod-${index}`)));
      await eventually('all of them', () => watching.pods.size === 250);
      t.is((await source.list()).length, 250);
      t.is(watching.news.filter((one) => one.startsWith('changed')).length, 250);
    },
  },
  {
    title: 'a pod is asked for by name: here, on another node, nowhere',
    run: async (t, at) => {
      const { metadata } = await at.create();
      await at.create('elsewhere', { spec: { nodeName: 'another' } });
      const source = reflectorOf(at);
      t.is((await source.get(at.namespace, 'web'))?.uid, metadata.uid);
      t.is(await source.get(at.namespace, 'elsewhere'), undefined);
      t.is(await source.get(at.namespace, 'nowhere'), undefined);
    },
  },
  {
    title: 'labels and addresses of the node are read',
    run: async (t, at) => {
      const { labels, addresses } = await readNode(at.client(), at.node, new AbortController().signal);
      t.like(labels, { tier: 'edge' });
      t.deepEqual(addresses, []);
    },
  },
  {
    title: 'a list that is to be newer than anything that happened is refused as one that this server cannot give yet',
    run: async (t, at) => {
      const query = { resourceVersion: '99999999', resourceVersionMatch: 'NotOlderThan' };
      const error = await t.throwsAsync(listOf(at, query));
      t.true(isAhead(error), error?.message);
    },
  },
];

/** For a server that is forgetful: not beside the others. */
export const FORGETTING: Case = {
  title: 'a revision that is no longer kept is told as expired, and the reflector lists anew',
  run: async (t, at) => {
    await using watching = new Watching(reflectorOf(at));
    await eventually('listed', () => watching.news.includes('listed'));
    const { metadata } = await at.create();
    await eventually('told', () => watching.news.includes('changed web'));
    await at.create('elsewhere', { spec: { nodeName: 'another' } });
    await at.server.forget();
    await eventually('listed anew', () => watching.news.includes('listed web'));
    await at.create('later');
    await eventually('told again', () => watching.news.includes('changed later'));
    const error = await t.throwsAsync(eventsFrom(at, metadata.resourceVersion, 1));
    t.true(isExpired(error), error?.message);
  },
};
