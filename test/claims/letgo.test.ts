/** HostPorts that name no claim and are deleted: whether one has their number must be asked of all claims. */
import test from 'ava';
import type { Asked } from '../../daemon/kube/api/resources.double.ts';
import { condition, hostPortPath, Rig } from './rig.ts';
import { but } from './variants.ts';

const OF_GAMES = { hostPortClassName: 'games' };

function started(): Rig {
  const rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7009 }] });
  return rig;
}

const isLook = ({ method, path, query }: Asked) =>
  method === 'GET' && path.endsWith('/hostportclaims') && query.watch === undefined;

test('I10: HostPorts that are deleted together go by one look at all claims', async (t) => {
  await using rig = started();
  let looks = 0;
  rig.start('a', {
    journey: (asked) => {
      if (isLook(asked)) looks++;
      return { there: 1, back: 1 };
    },
  });
  const names = Array.from({ length: 60 }, (_, index) => `hp-${8_000 + index}`);
  for (const name of names) rig.createHostPort(name, OF_GAMES);
  await rig.until(() => rig.hostPorts().every(({ metadata }) => metadata.finalizers?.length === 1));
  await rig.run(1_000);
  const before = looks;
  for (const name of names) rig.ask('DELETE', hostPortPath(name));
  await rig.until(() => rig.hostPorts().length === 0);
  t.is(looks - before, 1);
});

test('I10: where that look fails the HostPorts stay, and it is not repeated for each of them', async (t) => {
  await using rig = started();
  let looks = 0;
  let refused = false;
  rig.start('a', {
    journey: (asked) => {
      if (!isLook(asked) || !refused) return { there: 1, back: 1 };
      looks++;
      return { there: 1, back: 1, fault: { kind: 'status', code: 500 } };
    },
  });
  const names = Array.from({ length: 60 }, (_, index) => `hp-${8_000 + index}`);
  for (const name of names) rig.createHostPort(name, OF_GAMES);
  await rig.until(() => rig.hostPorts().every(({ metadata }) => metadata.finalizers?.length === 1));
  refused = true;
  for (const name of names) rig.ask('DELETE', hostPortPath(name));
  await rig.run(20_000);
  t.is(rig.hostPorts().length, 60);
  t.true(looks > 0 && looks <= 5, `${looks} in 20 s`);
  refused = false;
  await rig.until(() => rig.hostPorts().length === 0);
});

test('a look from before a HostPort was nobody’s does not tell that nobody has it', async (t) => {
  await using rig = started();
  // One that binds, and leaves what is deleted to the other; which hears nothing of claims but what it asks for.
  const first = rig.start('first', {
    lease: 'first',
    journey: ({ method, path }) => {
      const held = method === 'PATCH' && path.endsWith('/hp-443') && rig.hostPort('hp-443')?.metadata.deletionTimestamp;
      return { there: 1, back: 1, ...(held ? { fault: { kind: 'refuseConnection' } as const } : {}) };
    },
  });
  rig.createHostPort('hp-443', OF_GAMES);
  rig.start('deaf', {
    lease: 'deaf',
    // Nor has it looked whose the HostPort was before it was nobody's.
    journey: ({ method, path }) => {
      const held = method === 'GET' && path.endsWith('/web') && rig.hostPort('hp-7000')?.spec.claimRef !== undefined;
      return { there: 1, back: 1, ...(held ? { fault: { kind: 'refuseConnection' } as const } : {}) };
    },
    alter: (api) =>
      but(api, {
        watch: (observer, signal) =>
          api.watch(
            {
              listed: (kind, objects) => observer.listed(kind, objects),
              changed: (kind, object) => kind === 'claim' || observer.changed(kind, object),
              deleted: (kind, object) => kind === 'claim' || observer.deleted(kind, object),
              failed: (error) => observer.failed(error),
            },
            signal,
          ),
      }),
  });
  await rig.until(() => rig.hostPort('hp-443').metadata.finalizers?.length === 1);
  rig.ask('DELETE', hostPortPath('hp-443'));
  await rig.until(() => rig.hostPort('hp-443') === undefined, 2_000);
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound', 2_000);
  first.kill();
  const { uid } = rig.hostPort('hp-7000').metadata;
  rig.patch(hostPortPath('hp-7000'), { spec: { claimRef: null } });
  rig.ask('DELETE', hostPortPath('hp-7000'));
  await rig.until(() => rig.hostPort('hp-7000')?.spec.claimRef?.name === 'web');
  t.is(rig.hostPort('hp-7000').metadata.uid, uid, 'it is the same as before');
  t.is(condition(rig.claim('shop', 'web'), 'Bound').status, 'True');
});
