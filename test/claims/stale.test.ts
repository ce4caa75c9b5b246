/** One moment, played slowly: a claim and a HostPort that was meant for it, which is gone by the time somebody looks in his cache. */
import test from 'ava';
import type { HostPort } from '../../daemon/core/claims/objects.ts';
import { Judge } from './judge.ts';
import { hostPortPath, type Replica, Rig } from './rig.ts';
import { but } from './variants.ts';

/**
 * A replica that hears nothing of HostPorts after its first list, and can do nothing but list and watch while it is held. `cached`: it
 * asks for no HostPort either, which is the bug.
 */
function late(rig: Rig, cached: boolean, isHeld: () => boolean): Replica {
  const cache = new Map<string, HostPort>();
  return rig.start('late', {
    lease: 'late',
    journey: ({ method, path }) => {
      const held = isHeld() && !path.includes('/leases') && (method !== 'GET' || /\/(web|hp-7000)$/.test(path));
      return { there: 1, back: 1, ...(held ? { fault: { kind: 'refuseConnection' } as const } : {}) };
    },
    alter: (api) =>
      but(api, {
        watch: (observer, signal) =>
          api.watch(
            {
              listed: (kind, objects) => {
                if (kind === 'hostport') for (const one of objects) cache.set(one.meta.name, one as HostPort);
                observer.listed(kind, objects);
              },
              changed: (kind, object) => kind === 'hostport' || observer.changed(kind, object),
              deleted: (kind, object) => kind === 'hostport' || observer.deleted(kind, object),
              failed: (error) => observer.failed(error),
            },
            signal,
          ),
        hostPort: async (name) => (cached ? cache.get(name) : undefined) ?? (await api.hostPort(name)),
      }),
  });
}

async function played(cached: boolean): Promise<{ readonly judge: Judge; readonly rig: Rig }> {
  const rig = new Rig();
  const judge = new Judge(rig);
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7009 }] });
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  // The first one makes the HostPort, and dies before it tells the claim.
  const first = rig.start('first', { lease: 'first', survives: ({ path }) => !path.endsWith('/web/status') });
  await rig.until(() => !first.alive && rig.hostPort('hp-7000') !== undefined);
  let held = true;
  late(rig, cached, () => held);
  await rig.run(5_000);
  // The next one takes the HostPort back that somebody deletes, and dies before it makes another one.
  rig.ask('DELETE', hostPortPath('hp-7000'));
  const next = rig.start('next', {
    lease: 'next',
    survives: ({ method, path }) => method !== 'POST' || !path.endsWith('/hostports'),
  });
  await rig.until(() => !next.alive && rig.hostPort('hp-7000') === undefined);
  held = false;
  await rig.run(90_000);
  return { judge, rig };
}

test('a claim is bound by what its HostPort is, not by what was heard of it', async (t) => {
  const { judge, rig } = await played(false);
  t.is(judge.violation, undefined);
  t.is(rig.phase('shop', 'web'), 'Pending');
  await rig[Symbol.asyncDispose]();
});

test('found: a claim is bound by what the cache has of its HostPort', async (t) => {
  const { judge, rig } = await played(true);
  t.is(judge.violation?.rule, 'class');
  await rig[Symbol.asyncDispose]();
});
