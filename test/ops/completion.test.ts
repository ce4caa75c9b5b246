/** Completion, as the shells themselves complete: each is run with the script and asked. One that is not installed is left out. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { SUMMARIES } from '../../daemon/ops/commandlist.ts';
import { completion, scriptFor } from '../../daemon/ops/completion/completion.ts';
import { SHELLS, type Shell } from '../../daemon/ops/completion/grammar.ts';
import { kubectlCompletion } from '../../daemon/ops/completion/kubectl.ts';

const run = promisify(execFile);
const CLI = join(import.meta.dirname, '../../daemon/cli.ts');
const directory = mkdtempSync(join(tmpdir(), 'berth-completion-'));
for (const shell of SHELLS) writeFileSync(join(directory, shell), scriptFor(shell));
for (const name of ['ca one.crt', 'ca-two.crt']) writeFileSync(join(directory, name), '');
test.after.always(() => rmSync(directory, { recursive: true }));

const env = { PATH: process.env.PATH ?? '', HOME: directory, TERM: 'dumb', LANG: 'C.UTF-8' };
const options = { cwd: directory, env, timeout: 60_000 } as const;
const lines = (text: string) => text.split('\n').filter((line) => line !== '');
const where = (shell: Shell) => (spawnSync(shell, ['--version']).error === undefined ? test : test.skip);

/** What bash offers for the last of the words, taken apart as its readline does. */
async function bash(...words: readonly string[]): Promise<string[]> {
  const script = `source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _berth; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return lines((await run('bash', ['--norc', '-c', script, 'bash', ...words], options)).stdout);
}

async function fish(line: string): Promise<string[]> {
  const script = 'source ./fish; complete -C $argv[1]';
  const { stdout } = await run('fish', ['--no-config', '-c', script, line], options);
  return lines(stdout).map((one) => one.split('\t')[0] ?? '');
}

/** What zsh has on its line, or lists below it, once the tabulator was pressed: read until it matches the pattern. */
async function zsh(line: string, pattern: string): Promise<void> {
  const script = `
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell "PS1=; autoload -Uz compinit; compinit -u -D; source ./zsh; bindkey '^I' complete-word; echo rea''dy"
    zpty -r shell seen '*ready*'
    zpty -w -n shell $1$'\\t'
    zpty -r shell seen $2 || exit 1
    zpty -d shell`;
  await run('zsh', ['-f', '-c', script, 'zsh', line, pattern], options);
}

const bashTest = where('bash');

bashTest('bash: the commands', async (t) => {
  t.deepEqual(await bash('berth', ''), ['--help', '--version', ...Object.keys(SUMMARIES)]);
  t.deepEqual(await bash('berth', 'wa'), ['watch', 'wait']);
});

for (const name of Object.keys(SUMMARIES)) {
  bashTest(`bash: berth ${name} has the options that its --help tells, no more and no less`, async (t) => {
    const { stdout } = await run(process.execPath, [CLI, name, '--help'], options);
    const told = [...stdout.matchAll(/^ {2}(?:(-\w), )?(--[a-z-]+)/gm)].flatMap(([, short, long]) => [long, short]);
    const expected = told.filter((flag) => flag !== undefined);
    const offered = await bash('berth', name, '-');
    if (name === 'completion') t.deepEqual(offered, ['--help', '-h']);
    else t.deepEqual(offered.toSorted(), expected.toSorted());
  });
}

bashTest('bash: values, behind a space and behind =', async (t) => {
  const formats = ['table', 'wide', 'json', 'yaml'];
  t.deepEqual(await bash('berth', 'list', '--output', ''), formats);
  t.deepEqual(await bash('berth', 'list', '-o', ''), formats);
  t.deepEqual(await bash('berth', 'list', '--output', '='), formats);
  t.deepEqual(await bash('berth', 'list', '--output', '=', 'y'), ['yaml']);
  t.deepEqual(await bash('berth', 'list', '--protocol', 's'), ['sctp']);
  t.deepEqual(await bash('berth', 'list', '--namespace', ''), []);
  t.deepEqual((await bash('berth', 'list', '--aggregator-ca', 'ca')).toSorted(), ['ca one.crt', 'ca-two.crt']);
  t.deepEqual(await bash('berth', 'completion', 'z'), ['zsh']);
});

const fishTest = where('fish');

fishTest('fish: commands, options of the command alone, and values', async (t) => {
  t.deepEqual((await fish('berth wa')).toSorted(), ['wait', 'watch']);
  t.deepEqual(await fish('berth nodes --outp'), ['--output']);
  t.deepEqual(await fish('berth nodes --pod'), []);
  t.deepEqual(await fish('berth list --pod'), ['--pod']);
  t.deepEqual((await fish('berth list --output ')).toSorted(), ['json', 'table', 'wide', 'yaml']);
  t.deepEqual((await fish('berth list --output=y')).at(-1), '--output=yaml');
  t.deepEqual((await fish('berth list --aggregator-ca ca-')).toSorted(), ['ca-two.crt']);
  t.deepEqual((await fish('berth completion ')).toSorted(), ['bash', 'fish', 'zsh']);
});

const zshTest = where('zsh');

for (const [line, pattern] of [
  ['berth unin', '*berth uninstall*'],
  ['berth nodes --outp', '*berth nodes --output=*'],
  ['berth list -o y', '*berth list -o yaml*'],
  ['berth list --output=w', '*berth list --output=wide*'],
  ['berth list --protocol s', '*berth list --protocol sctp*'],
  ['berth list --aggregator-ca ca-', '*--aggregator-ca ca-two.crt*'],
  ['berth list --aggregator-', '*--aggregator-ca*Authorities that*--aggregator-token*'],
  ['berth completion f', '*berth completion fish*'],
] as const) {
  zshTest(`zsh: ${line} becomes, or lists, ${pattern}`, async (t) => {
    await t.notThrowsAsync(zsh(line, pattern));
  });
}

/** `kubectl` in a PATH with the two programs, as the bundle has them. */
async function kubectl(...words: readonly string[]): Promise<string[]> {
  const { stdout } = await run('kubectl', ['__complete', 'berth', ...words], {
    ...options,
    env: { ...env, PATH: `${directory}:${env.PATH}` },
  });
  return lines(stdout).map((one) => one.split('\t')[0] ?? '');
}

for (const [file, words] of [
  ['kubectl-berth', 'kubectl'],
  ['kubectl_complete-berth', 'kubectl __complete'],
] as const)
  writeFileSync(join(directory, file), `#!/bin/sh\nexec "${process.execPath}" "${CLI}" ${words} "$@"\n`, {
    mode: 0o755,
  });

const kubectlTest = where('kubectl' as Shell);

kubectlTest('kubectl: commands, options of the command alone, and values', async (t) => {
  t.deepEqual(await kubectl('wa'), ['watch', 'wait', ':4']);
  t.deepEqual(await kubectl('nodes', '--outp'), ['--output', ':4']);
  t.deepEqual(await kubectl('nodes', '--all'), [':4']);
  t.deepEqual(await kubectl('list', '-o', ''), ['table', 'wide', 'json', 'yaml', ':4']);
});

const OFFERED: readonly (readonly [string, string])[] = [
  ['', 'list get watch nodes wait :4'],
  ['list --all', '--all-namespaces :4'],
  ['list --output=y', 'yaml :4'],
  ['list -A -o w', 'wide :4'],
  ['get --as', '--as --as-uid --as-group --as-user-extra :4'],
  ['wait --kubeconfig ', ':0'],
  ['wait --port ', ':4'],
  ['get ', ':4'],
  ['lst --', ':4'],
];
for (const [line, offered] of OFFERED) {
  test(`kubectl berth ${line}: ${offered} is offered`, (t) => {
    const told = lines(kubectlCompletion(line.split(' '))).map((one) => one.split('\t')[0]);
    t.is(told.join(' '), offered);
  });
}

test('what is no shell is refused', (t) => {
  for (const argv of [[], ['tcsh'], ['bash', 'zsh']])
    t.throws(() => completion(argv), { code: 'CONFIG_INVALID', message: /berth completion bash\|zsh\|fish$/ });
});
