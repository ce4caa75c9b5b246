/** What the agent's token may do: every verb on every resource of the API server is tried. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { apply, get, kubectl, type Thing } from './cluster.ts';
import { NAMESPACE, uninstall } from './install.ts';
import { KUBECTL } from './lab.ts';

const ALLOWED = join(import.meta.dirname, 'rbac.txt');
const VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection', '*'];
/** Verbs that lead to other rights. */
const SPECIAL = [
  ...['users', 'groups', 'serviceaccounts'].map((resource) => ({ verb: 'impersonate', group: '', resource })),
  ...['roles', 'clusterroles'].flatMap((resource) =>
    ['bind', 'escalate'].map((verb) => ({ verb, group: 'rbac.authorization.k8s.io', resource })),
  ),
  { verb: 'approve', group: 'certificates.k8s.io', resource: 'signers' },
  { verb: 'sign', group: 'certificates.k8s.io', resource: 'signers' },
  { verb: '*', group: '*', resource: '*' },
];

/** Rights count before there is anything that they are for: the API server need not know claims yet. */
const CLAIMS = ['hostportclaims', 'hostports', 'hostportclasses'].flatMap((kind) =>
  [kind, `${kind}/status`].flatMap((resource) => VERBS.map((verb) => ({ verb, group: 'berth.dev', resource }))),
);

interface Question {
  readonly verb: string;
  readonly group: string;
  /** With the subresource: `pods/status`. */
  readonly resource: string;
}

test.before(async () => {
  await apply('deploy/');
  await apply([{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'nobody', namespace: NAMESPACE } }]);
});
test.after.always(() => uninstall());

test('the agent may do what rbac.txt says, and of all other verbs and resources nothing', async (t) => {
  const questions = await everyQuestion();
  t.true(questions.length > 500);
  // What everybody may do, such as to ask what one may do, depends on the API server.
  const everybody = new Set(await allowed(await tokenOf('nobody'), questions));
  const agent = (await allowed(await tokenOf('berth-agent'), questions)).filter((line) => !everybody.has(line));
  const text = `${agent.sort().join('\n')}\n`;
  if (process.env.UPDATE !== undefined) writeFileSync(ALLOWED, text);
  t.is(text, readFileSync(ALLOWED, 'utf8'));
});

async function everyQuestion(): Promise<readonly Question[]> {
  const groups: Thing[] = JSON.parse(await kubectl('get', '--raw', '/apis')).groups;
  const versions = [
    { group: '', path: '/api/v1' },
    ...groups.map(({ name, preferredVersion }) => ({ group: name, path: `/apis/${preferredVersion.groupVersion}` })),
  ];
  const questions: Question[] = [...SPECIAL, ...CLAIMS];
  for (const { group, path } of versions) {
    if (group === 'berth.dev') continue;
    const { resources } = JSON.parse(await kubectl('get', '--raw', path));
    for (const { name } of resources) questions.push(...VERBS.map((verb) => ({ verb, group, resource: name })));
  }
  return questions;
}

/** As kubelet gets it for a pod, by the TokenRequest API. */
async function tokenOf(account: string): Promise<string> {
  const [file, ...before] = KUBECTL;
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${account}/token`;
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 600 } };
  const { stdout } = await execa(file, [...before, 'create', '--raw', path, '-f', '-'], {
    input: JSON.stringify(request),
  });
  return JSON.parse(stdout).status.token;
}

/** Asks as the bearer of the token, cluster-wide; one line for each yes: `patch pods/status`, `list deployments.apps`. */
async function allowed(token: string, questions: readonly Question[]): Promise<string[]> {
  const items = questions.map(({ verb, group, resource }) => {
    const [name, subresource] = resource.split('/');
    const resourceAttributes = { verb, group, resource: name, ...(subresource === undefined ? {} : { subresource }) };
    return { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes } };
  });
  const directory = mkdtempSync(join(tmpdir(), 'berth-bearer-'));
  try {
    // A certificate in the kubeconfig would win over a token: the bearer's has none.
    const config: Thing = JSON.parse(await kubectl('config', 'view', '--raw', '--minify', '-o', 'json'));
    const kubeconfig = join(directory, 'kubeconfig');
    const users = [{ name: config.users[0].name, user: { token } }];
    writeFileSync(kubeconfig, JSON.stringify({ ...config, users }), { mode: 0o600 });
    const [file, ...before] = KUBECTL;
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    const template = 'go-template={{.status.allowed}}{{"\\n"}}';
    const ask = [...before, '--kubeconfig', kubeconfig, 'create', '-f', '-', '-o', template];
    const answers = (await execa(file, ask, { input })).stdout.split('\n');
    if (answers.length !== questions.length)
      throw new Error(`${answers.length} answers to ${questions.length} questions`);
    return questions.filter((_, index) => answers[index] === 'true').map(lineOf);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function lineOf({ verb, group, resource }: Question): string {
  return group === '' ? `${verb} ${resource}` : `${verb} ${resource}.${group}`;
}

test('the account of the agent is bound to one role', async (t) => {
  const bindings = (await get('clusterrolebindings,rolebindings', '-A')).items.filter(({ subjects = [] }: Thing) =>
    subjects.some((subject: Thing) => subject.name === 'berth-agent' && subject.namespace === NAMESPACE),
  );
  t.deepEqual(
    bindings.map(({ kind, metadata, roleRef }: Thing) => [kind, metadata.name, roleRef.name]),
    [['ClusterRoleBinding', 'berth-agent', 'berth-agent']],
  );
});
