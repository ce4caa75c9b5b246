/** What pods were told is taken back: from the API server with patches that touch nothing else, from a directory with its files. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { ApiAnnouncements } from '../../daemon/kube/apiannouncements.ts';
import { StatusAnnouncements } from '../../daemon/kube/statusannouncements.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { podObject } from './objects.ts';
import { Scratch } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { StandIn } from './standin/server.ts';

const CONDITION = { type: 'berth.dev/PortsMapped', status: 'True', reason: 'PortsMapped', message: '' };
const READY = { type: 'Ready', status: 'True', reason: 'kubelet', message: '' };
const GALAXY = 'tkestack.io/portmapping';
const status = (...conditions: readonly object[]) => ({ phase: 'Running', podIPs: [{ ip: '10.0.0.7' }], conditions });
const spec = { nodeName: 'node-a' };

async function scene() {
  const server = await StandIn.start();
  const client = clientOf(server.url, systemClock);
  const signal = new AbortController().signal;
  const announcements = new ApiAnnouncements({
    client,
    node: 'node-a',
    clock: systemClock,
    random: Math.random,
    signal,
  });
  return {
    server,
    announcements,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('requests stay, results go, and another program is not touched', async (t) => {
  await using place = await scene();
  const { server, announcements } = place;
  const results = { 'berth.dev/mappings': '[]', 'port.berth.dev/web': '23117' };
  const requests = { 'berth.dev/ports': '', other: 'kept' };
  server.store.put(
    podObject({ annotations: { ...requests, ...results, [GALAXY]: '[{}]' }, spec, status: status(READY, CONDITION) }),
  );
  server.store.put(
    podObject({ name: 'galaxys', uid: 'uid-2', annotations: { [GALAXY]: '[{}]' }, spec, status: status(READY) }),
  );
  server.store.put(
    podObject({ name: 'half', uid: 'uid-3', annotations: { [GALAXY]: '[{}]' }, spec, status: status(READY) }),
  );

  const granted = new Set(['uid-3']);
  const found = await announcements.find(granted);
  t.deepEqual(found.map(({ name }) => name).sort(), ['half', 'web']);
  t.deepEqual(found[0]?.podIPs, ['10.0.0.7']);
  t.deepEqual(await announcements.withdraw(found), []);

  const pod = (name: string) => server.store.pods.get(`shop/${name}`);
  t.deepEqual(pod('web')?.metadata.annotations, { ...requests, [GALAXY]: '' });
  t.deepEqual(
    pod('web')?.status.conditions?.map(({ type }) => type),
    ['Ready'],
  );
  t.deepEqual(pod('half')?.metadata.annotations, { [GALAXY]: '' });
  t.deepEqual(pod('galaxys')?.metadata.annotations, { [GALAXY]: '[{}]' });
  for (const { body } of server.patches())
    t.truthy(body.metadata.uid, 'every patch names the life of the pod that it means');
  t.deepEqual(await announcements.find(granted), []);
});

test('a pod that may not be patched is told, and keeps no other from being freed', async (t) => {
  await using place = await scene();
  const { server, announcements } = place;
  for (const name of ['bad', 'good']) {
    const annotations = { 'berth.dev/ports': '', 'port.berth.dev/web': '23117' };
    server.store.put(podObject({ name, uid: name, annotations, spec, status: status() }));
  }
  server.fault = ({ method, path }) =>
    method === 'PATCH' && path.includes('/bad') ? { kind: 'status', code: 403, reason: 'Forbidden' } : undefined;
  const failures = await announcements.withdraw(await announcements.find(new Set()));
  t.regex(failures.join(), /may not patch pods/);
  t.deepEqual(
    (await announcements.find(new Set())).map(({ name }) => name),
    ['bad'],
  );
});

test('of a directory every status file goes, also one that is not understood, and no manifest', async (t) => {
  using scratch = new Scratch();
  const announcements = new StatusAnnouncements(scratch.path, systemClock, Math.random);
  t.deepEqual(await announcements.find(), []);
  scratch.put('web.yaml', podObject());
  mkdirSync(scratch.join('.status'));
  const told = { namespace: 'shop', pod: 'web', uid: 'uid-1', annotations: {}, conditions: [], events: [] };
  writeFileSync(scratch.join('.status', 'shop_web.json'), JSON.stringify(told));
  writeFileSync(scratch.join('.status', 'shop_torn.json'), '{');
  writeFileSync(scratch.join('.status', 'shop_late.json.tmp'), '');

  const found = await announcements.find();
  t.deepEqual(
    found.map(({ name, uid }) => [name, uid]),
    [
      ['late', ''],
      ['torn', ''],
      ['web', 'uid-1'],
    ],
  );
  t.deepEqual(await announcements.withdraw(found), []);
  t.false(existsSync(scratch.join('.status')));
  t.deepEqual(readdirSync(scratch.path), ['web.yaml']);
});
