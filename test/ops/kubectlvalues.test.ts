import test from 'ava';
import { readPluginOptions } from '../../daemon/ops/kubectl/options.ts';
import { requestTimeout, userExtra } from '../../daemon/ops/kubectl/values.ts';

const TIMEOUTS: readonly (readonly [string, number | undefined])[] = [
  ['', undefined],
  ['0', undefined],
  ['0s', undefined],
  ['5', 5_000],
  ['1.5s', 1_500],
  ['1h30m', 5_400_000],
  ['.5s', 500],
  ['1ns', 1],
  ['9999h', 2 ** 31 - 1],
];
for (const [text, ms] of TIMEOUTS) {
  test(`--request-timeout ${text || "''"} is ${ms} ms`, (t) => t.is(requestTimeout(text), ms));
}

for (const text of ['-3s', '10x', '1d', 's', '1.5', '1 s', '1s2']) {
  test(`--request-timeout ${text} is refused`, (t) => {
    t.throws(() => requestTimeout(text), { code: 'CONFIG_INVALID', message: /is neither a number of seconds nor/ });
  });
}

test('--as-user-extra: the values of each key, whatever the key is called', (t) => {
  const extra = userExtra(['constructor=1', 'k=a=b', 'constructor=']);
  t.deepEqual(Object.entries(extra), [
    ['constructor', ['1', '']],
    ['k', ['a=b']],
  ]);
  for (const wrong of ['k', '=v']) t.throws(() => userExtra([wrong]), { code: 'CONFIG_INVALID' });
});

test('a flag of kubectl that is empty is none', (t) => {
  const read = readPluginOptions('list', { argv: ['--context=', '--as=', '-n', '', '--as-group='], env: {} });
  if (read.kind === 'help') throw new Error('help was asked for');
  const { namespace, server } = read.options;
  t.deepEqual([namespace, server.context, server.as, server.asGroup], [undefined, undefined, undefined, []]);
});
