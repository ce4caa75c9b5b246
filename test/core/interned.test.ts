import test from 'ava';
import { Interned } from '../../daemon/core/interned.ts';

test('what is asked for is equal to what was given', (t) => {
  const interned = new Interned(2);
  for (const text of ['', 'a', 'b', 'c', 'a', 'a', 'toString', '__proto__']) t.is(interned.of(text), text);
});

test('I10: it keeps no more than its limit, whatever comes', async (t) => {
  const interned = new Interned(1_000);
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < 1_000_000; index += 1) interned.of(`a name that comes once only, number ${index}`);
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  t.true(process.memoryUsage().heapUsed - before < 4_000_000);
});
