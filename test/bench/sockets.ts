/** 10,000 host ports held by bound sockets: time and memory. */
import { once } from 'node:events';
import { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { megabytes, ms, row } from './row.ts';
import { median } from './statistics.ts';

const HOLDER = new URL('holder.ts', import.meta.url).pathname;

export const measure: Measure = async (scale, tell) => {
  const times: number[] = [];
  const bytes: number[] = [];
  for (let round = 0; round < scale.pick(7, 3); round++) {
    using node = Namespace.create('holder');
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const child = node.spawn(process.execPath, ['--expose-gc', HOLDER], { stdio: [...stdio] });
    const [told] = (await once(child, 'message')) as [{ ms: number; bytes: number }];
    times.push(told.ms);
    bytes.push(told.bytes);
    if (child.exitCode === null) await once(child, 'exit');
  }
  tell(
    row('10000 ports held', {
      budget: '≤ 0.3 s',
      median: ms(median(times)),
      p99: ms(Math.max(...times)),
      met: median(times) <= 300,
    }),
  );
  tell(
    row('10000 ports held, resident memory of the process', {
      budget: '≤ 5 MB',
      median: megabytes(median(bytes)),
      p99: megabytes(Math.max(...bytes)),
      met: median(bytes) <= 5_000_000,
    }),
  );
};
