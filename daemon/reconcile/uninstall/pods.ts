/** First of all nobody is to be sent to a mapping any more: what Berth told the pods is taken back. */
import { podLabel } from '../../core/vocabulary.ts';
import type { AnnouncedPod, Announcements } from './ports.ts';
import { counted, done, type Leftover, type Report, type Step, shortList, verb } from './steps.ts';

/** `found` gets the pods as they were before: their addresses tell whose flows are Berth's. */
export function podsStep(
  announcements: Announcements,
  granted: ReadonlySet<string>,
  found: (pods: readonly AnnouncedPod[]) => void,
): Step {
  return {
    name: 'pods',
    remedy: 'run berth uninstall again when the pods can be read',
    async run(dryRun) {
      const pods = await announcements.find(granted);
      found(pods);
      if (pods.length === 0) return done('nothing of Berth stands on a pod');
      const failures = dryRun ? [] : await announcements.withdraw(pods);
      const left = dryRun ? [] : await announcements.find(granted);
      return reportOf(pods, left, failures, dryRun);
    },
  };
}

function reportOf(
  pods: readonly AnnouncedPod[],
  left: readonly AnnouncedPod[],
  failures: readonly string[],
  dryRun: boolean,
): Report {
  const stays = new Set(left.map(podLabel));
  const freed = pods.map(podLabel).filter((label) => !stays.has(label));
  const what = `${verb(dryRun, 'took', 'take')} annotations and condition from ${counted(freed.length, 'pod')}`;
  return { says: freed.length === 0 ? '' : `${what}: ${shortList(freed)}`, left: leftovers([...stays], failures) };
}

/** The last failure is the newest, and as a rule the same for all. */
function leftovers(stays: readonly string[], failures: readonly string[]): readonly Leftover[] {
  if (stays.length === 0) return [];
  const why = failures.length === 0 ? 'they were not written in time' : failures.at(-1);
  const what = `annotations and condition of ${counted(stays.length, 'pod')}: ${shortList(stays)} (${why})`;
  const remedy = 'run berth uninstall again, or kubectl annotate pod NAME berth.dev/mappings- port.berth.dev/PORT-';
  return [{ what, remedy }];
}
