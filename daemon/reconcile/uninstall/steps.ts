/**
 * The course of uninstalling: one step after the other, each tried whatever became of those before it, and a line for each. What
 * the steps do is in the files beside.
 */
import { messageOf } from '../../core/errors.ts';
import { printable } from '../../core/text.ts';

/** Something of Berth's that is still there. */
export interface Leftover {
  readonly what: string;
  /** How to be rid of it; as a rule a command. */
  readonly remedy: string;
}

export interface Report {
  /** What was done, or would be. */
  readonly says: string;
  readonly left: readonly Leftover[];
}

export interface Step {
  readonly name: string;
  /** `dryRun`: nothing is changed. What it rejects with is what keeps the whole step from being done. */
  run(dryRun: boolean): Promise<Report>;
  /** When the step could not be done at all. */
  readonly remedy: string;
}

const NAME_WIDTH = 7;
const MAX_LINE = 2_048;

/** Runs the steps in turn, unless `stopped` answers true before one. Resolves to what is left. */
export async function runSteps(
  steps: readonly Step[],
  dryRun: boolean,
  line: (text: string) => void,
  stopped: () => boolean = () => false,
): Promise<readonly Leftover[]> {
  const left: Leftover[] = [];
  for (const step of steps) {
    const report = stopped() ? interrupted(step) : await attempt(step, dryRun);
    if (report.says !== '') line(lineOf(step.name, report.says));
    for (const { what, remedy } of report.left) line(lineOf(step.name, `left: ${what}; ${remedy}`));
    left.push(...report.left);
  }
  return left;
}

async function attempt(step: Step, dryRun: boolean): Promise<Report> {
  try {
    return await step.run(dryRun);
  } catch (error) {
    return { says: '', left: [{ what: messageOf(error), remedy: step.remedy }] };
  }
}

function interrupted(step: Step): Report {
  return { says: '', left: [{ what: 'not tried: the command was interrupted', remedy: step.remedy }] };
}

/** Names from elsewhere stand in what is said. */
function lineOf(name: string, text: string): string {
  return `${name.padEnd(NAME_WIDTH)}  ${printable(text, MAX_LINE)}`;
}

/** Nothing is left. */
export function done(says: string): Report {
  return { says, left: [] };
}

/** `deleted`, or in a dry run `would delete`. */
export function verb(dryRun: boolean, past: string, infinitive: string): string {
  return dryRun ? `would ${infinitive}` : past;
}

/** `1 pod`, `2 pods`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

const SHOWN = 5;

/** The first few of a list. */
export function shortList(items: readonly string[]): string {
  const more = items.length > SHOWN ? `, and ${items.length - SHOWN} more` : '';
  return items.slice(0, SHOWN).join(', ') + more;
}
