/** Saves states to the directory in its first argument as fast as it can, and says after each which mark is durable. */
import { StateFile } from '../../daemon/ops/statefile.ts';
import { stateOf } from './states.ts';

const store = new StateFile(process.argv[2] ?? '');
for (let mark = 1; ; mark++) {
  await store.save(stateOf(2000, mark));
  process.send?.(mark);
}
