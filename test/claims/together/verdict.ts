/** What was wrong first, by the rule that forbids it. */
import type { Judged } from '../judge.ts';
import type { Rig } from '../rig.ts';

export class Verdict {
  readonly #rig: Rig;
  first: Judged | undefined;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  wrong(rule: string, detail: string): void {
    this.first ??= { rule, detail: `${detail} at ${Math.round(this.#rig.time.now)} ms` };
  }
}
