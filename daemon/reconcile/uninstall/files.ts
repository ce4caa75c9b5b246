/** Last of all: the files that Berth made on the node. What remembers stays as long as it is needed for another run. */
import { messageOf } from '../../core/errors.ts';
import type { OwnFiles } from './ports.ts';
import { done, type Leftover, type Step, verb } from './steps.ts';

/** `stillNeeded`: why the files with a memory must stay; undefined when they need not. Asked when the step runs. */
export function filesStep(files: OwnFiles, stillNeeded: () => string | undefined): Step {
  return {
    name: 'files',
    remedy: 'remove the files in --state-dir and the socket by hand',
    async run(dryRun) {
      const found = files.find();
      if (found.length === 0) return done('there are no files of Berth');
      const removed: string[] = [];
      const left: Leftover[] = [];
      const why = stillNeeded();
      for (const file of found) {
        if (file.memory && why !== undefined) {
          left.push({
            what: `${file.path}: ${why}`,
            remedy: 'put right what is left above and run berth uninstall again',
          });
          continue;
        }
        try {
          if (!dryRun) files.remove(file);
          removed.push(file.path);
        } catch (error) {
          left.push({ what: `${file.path}: ${messageOf(error)}`, remedy: `remove it by hand: rm ${file.path}` });
        }
      }
      return { says: removed.length === 0 ? '' : `${verb(dryRun, 'removed', 'remove')} ${removed.join(', ')}`, left };
    },
  };
}
