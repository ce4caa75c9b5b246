/** `kubectl berth` reads kubeconfigs as kubectl does. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import test, { type ExecutionContext } from 'ava';
import { loadKubeconfig } from '../../daemon/kube/api/kubeconfig.ts';
import { applyFlags } from '../../daemon/kube/forward/cluster.ts';
import { impersonationOf } from '../../daemon/kube/forward/impersonation.ts';
import { loadConfig } from '../../daemon/kube/forward/kubeconfig.ts';

interface Said {
  readonly context?: string;
  readonly server?: string;
  readonly user?: object;
}

/** With one cluster `c`, one user `u` and one context `x`. */
function file(t: ExecutionContext, { context = 'x', server = 'https://one.example', user = {} }: Said): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-kubeconfig-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'config');
  const config = {
    'current-context': context,
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority': 'ca.crt' } }],
    users: [{ name: 'u', user }],
    // The library alone refuses a file for what one of its contexts lacks.
    contexts: [
      { name: 'x', context: { cluster: 'c', user: 'u' } },
      { name: 'lacks', context: { namespace: 'a' } },
    ],
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

test('several files are one: the first counts of two that have one name, and one that is not there is passed over', (t) => {
  const one = file(t, { user: { token: 'one', as: 'eve' } });
  const other = file(t, { context: 'other', server: 'https://other.example', user: { token: 'other', as: 'joe' } });
  const empty = join(one, '../empty');
  writeFileSync(empty, '');
  const config = new KubeConfig();
  const impersonations = loadConfig(config, undefined, { KUBECONFIG: `/not/there:${empty}:${one}:${other}` });
  t.is(config.getCurrentContext(), 'x');
  t.is(config.getCurrentCluster()?.server, 'https://one.example');
  t.is(config.getCurrentCluster()?.caFile, join(one, '../ca.crt'));
  t.is(config.getCurrentUser()?.token, 'one');
  t.is(impersonations.get('u')?.user, 'eve');
});

test('where there is no file there is no API server', (t) => {
  const config = new KubeConfig();
  const impersonations = loadConfig(config, undefined, { KUBECONFIG: '/not/there' });
  t.throws(() => applyFlags(config, impersonations, {}), { code: 'CONFIG_INVALID', message: /no API server is known/ });
  t.throws(() => loadConfig(config, '/not/there'), { code: 'CONFIG_INVALID', message: /\/not\/there cannot be used/ });
});

test('a kubeconfig that cannot be read is told of without the secrets in it', async (t) => {
  const path = file(t, {});
  writeFileSync(path, 'users:\n- name: u\n  user:\n    token: SECRET\n   bad: x\n');
  const said = [
    t.throws(() => loadConfig(new KubeConfig(), path), { code: 'CONFIG_INVALID' }),
    await t.throwsAsync(loadKubeconfig(path), { code: 'CONFIG_INVALID' }),
  ];
  for (const error of said) {
    t.regex(error.message, /cannot be used: \S/);
    t.false(inspect(error).includes('SECRET'));
  }
});

test('an address of the API server may end with a slash', (t) => {
  const config = new KubeConfig();
  applyFlags(config, new Map(), { server: 'one.example/k8s/' });
  t.is(config.getCurrentCluster()?.server, 'https://one.example/k8s');
});

test('no secret is sent in plaintext, as to kubectl proxy', (t) => {
  const path = file(t, { server: 'http://127.0.0.1:8001', user: { token: 'secret', as: 'eve' } });
  const config = new KubeConfig();
  const { user } = applyFlags(config, loadConfig(config, path), { token: 'mine' });
  t.deepEqual(config.getCurrentUser(), { name: 'u' });
  t.is(user, 'eve');
});

const WRONG: readonly object[] = [
  { as: 7 },
  { as: 'x', 'as-groups': 'a' },
  { 'as-user-extra': ['a'] },
  { 'as-groups': [1] },
];
for (const user of WRONG) {
  test(`a user ${JSON.stringify(user)} is refused, not asked as with all its rights`, (t) => {
    t.throws(() => impersonationOf(user), { code: 'CONFIG_INVALID', message: /of a user must be/ });
  });
}
