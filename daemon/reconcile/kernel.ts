/**
 * The kernel's table in a pass: as last read plus own commits, and the change to be made. What it does not know for
 * certain it reads again.
 */
import { isSame } from '../../rules/change.ts';
import { type Element, type ElementChange, elementId } from '../../rules/element.ts';
import type { Mapping } from '../core/vocabulary.ts';
import { attempt, commit } from './commit.ts';
import { allStand, elementsOnce, idsOnce, type Plan, plan } from './plan.ts';
import type { Clock, Datapath, Recorder } from './ports.ts';
import { Refusals } from './refusals.ts';

/** How soon the table is looked at again after it was healed, or a change that belongs to no mapping was refused, in ms. */
const RETRY_MS = 1_000;

export class Kernel {
  readonly #datapath: Datapath;
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  #installed: Map<string, Element> | undefined;
  /** What should stand by the last commit, where what does stand is to be read again: so a foreign change in between is told. */
  #expected: ReadonlyMap<string, Element> | undefined;
  /** What stood at the first read. */
  #inherited: ReadonlyMap<string, Element> | undefined;
  #healed: { what: string; missing: number; foreign: number } | undefined;
  readonly #refusals = new Refusals();
  /** What was to be removed for these ports (comments of elements) was refused, and may stand. */
  #stuck: ReadonlySet<string> = new Set();
  /** When the table is to be looked at again. */
  #againAt: number | undefined;

  constructor(datapath: Datapath, recorder: Recorder, clock: Clock) {
    this.#datapath = datapath;
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /** The elements that stand in the table; undefined before the first read, and after a failure that left it unknown. */
  get installed(): ReadonlyMap<string, Element> | undefined {
    return this.#installed;
  }

  /** The mapping's rules stood already when this agent first looked. */
  adopted(mapping: Mapping): boolean {
    return allStand(mapping, this.#inherited ?? new Map());
  }

  /** By what was read last a rule of this mapping stands, wherever in the pod it leads. */
  leadsTo(mapping: Mapping): boolean {
    return elementsOnce(mapping).some(
      (element, index) =>
        element.value !== '' && this.#installed?.get(idsOnce(mapping)[index] as string)?.comment === element.comment,
    );
  }

  /** Reads the table back. Rejects when the kernel cannot be asked. */
  async read(): Promise<ReadonlyMap<string, Element>> {
    const expected = this.#installed ?? this.#expected;
    this.#installed = undefined;
    this.#expected = expected;
    const { elements, repaired } = await this.#datapath.read();
    this.#expected = undefined;
    this.#installed = new Map(elements.map((element) => [elementId(element), element]));
    this.#inherited ??= new Map(this.#installed);
    if (expected !== undefined) this.#compare(expected, this.#installed, repaired);
    return this.#installed;
  }

  /** The steps from what stands to what is wanted. Mappings that the kernel refused lately are left out. */
  plan(wanted: readonly Mapping[], environment: readonly Element[], live: ReadonlyMap<string, Mapping>): Plan {
    const now = this.#clock.monotonic();
    const installed = this.#installed ?? new Map<string, Element>();
    this.#refusals.forget(wanted, (mapping) => allStand(mapping, installed));
    const admitted = wanted.filter((mapping) => !this.#refusals.waits(mapping, now));
    const waiting = wanted.filter((mapping) => this.#refusals.waits(mapping, now));
    return plan(
      admitted,
      [...environment, ...waiting.flatMap((mapping) => remains(mapping, installed))],
      installed,
      live,
    );
  }

  /** What stood when this agent first looked, by owner: `<pod uid>/<port name>`. */
  inheritedBy(owners: ReadonlySet<string>): readonly Element[] {
    if (owners.size === 0) return [];
    return [...(this.#inherited?.values() ?? [])].filter(({ comment }) => owners.has(comment));
  }

  /** What stood at the first look is of no more interest. */
  forgetInherited(): void {
    this.#inherited = new Map();
  }

  /** Why the mapping could not be installed, when it could not. */
  refusal(mapping: Mapping): Error | undefined {
    return this.#refusals.get(mapping);
  }

  /** The rule of this port of a pod was to be removed, which was refused: it may still stand. */
  isStuck(of: { readonly uid: string; readonly name: string }): boolean {
    return this.#stuck.has(`${of.uid}/${of.name}`);
  }

  /** The earliest monotonic time at which something is to be tried again, or looked at again. */
  get retryAt(): number | undefined {
    const { retryAt } = this.#refusals;
    return this.#againAt === undefined ? retryAt : Math.min(this.#againAt, retryAt ?? this.#againAt);
  }

  /**
   * Commits the plan. Mappings with a refused element are noted (`refusal`), the others stand. `replan` makes the plan anew
   * from what was read again. `draining`: what may go on leading to its pod where the mapping that is to follow it was refused. Rejects
   * with what is no mapping's fault; the table is then read anew by the next pass.
   */
  async install(
    steps: Plan,
    wanted: readonly Mapping[],
    replan: () => Plan,
    draining: readonly Mapping[] = [],
  ): Promise<void> {
    this.#stuck = new Set();
    this.#againAt = undefined;
    if (steps.change.add.length === 0 && steps.change.remove.length === 0) return this.#reportHealed();
    const began = this.#clock.monotonic();
    let model = this.#installed as Map<string, Element>;
    this.#installed = undefined;
    const done = await commit(this.#datapath, steps.change, wanted, async () => {
      model = new Map(await this.read());
      const again = replan();
      this.#installed = undefined;
      return again.change;
    });
    const { add, remove } = done.change;
    applyTo(model, done.change);
    // The kernel finds an interval by its beginning alone: to remove a foreign one may take away another that holds that.
    if (this.#healed !== undefined) this.#againAt = this.#clock.monotonic() + RETRY_MS;
    if (done.refused.size > 0) await this.#withdraw(done.refused, { wanted, draining }, model, replan);
    else if (this.#healed === undefined) this.#installed = model;
    else this.#expected = model;
    this.#recorder.record({
      kind: 'applied',
      ms: this.#clock.monotonic() - began,
      added: add.length,
      removed: remove.length,
    });
    this.#reportHealed();
  }

  /**
   * Takes away what stands in the place of what was refused: it leads to where the pod was, or is open to whom it no longer
   * allows. The whole mapping of another pod that lives stays as it is: its number was to be handed over. After a refusal the table is not
   * known any more: somebody else may have changed it.
   */
  async #withdraw(
    refused: ReadonlyMap<string, Error>,
    { wanted, draining }: { readonly wanted: readonly Mapping[]; readonly draining: readonly Mapping[] },
    model: Map<string, Element>,
    replan: () => Plan,
  ): Promise<void> {
    const now = this.#clock.monotonic();
    const others = this.#refusals.note(refused, wanted, now);
    for (const error of new Set(refused.values()))
      this.#recorder.record({ kind: 'failure', operation: 'apply', error });
    if (others.size > 0) this.#againAt = now + RETRY_MS;
    this.#installed = model;
    const { change } = replan();
    this.#installed = undefined;
    const kept = new Set(draining.filter((mapping) => allStand(mapping, model)).flatMap(idsOnce));
    const remove = change.remove.filter((element) => !kept.has(elementId(element)));
    if ((await attempt(this.#datapath, { remove, add: [] })) === undefined) applyTo(model, { remove, add: [] });
    const stuck = [...model.values()].filter((element) => refused.has(elementId(element)));
    this.#stuck = new Set(stuck.map(({ comment }) => comment));
  }

  #compare(expected: ReadonlyMap<string, Element>, found: ReadonlyMap<string, Element>, repaired: string): void {
    let missing = 0;
    let foreign = 0;
    for (const [id, element] of expected) if (!isSame(found.get(id), element)) missing++;
    for (const id of found.keys()) if (!expected.has(id)) foreign++;
    if (missing === 0 && foreign === 0 && repaired === '') return;
    this.#healed = { what: repaired || 'elements', missing, foreign };
  }

  #reportHealed(): void {
    if (this.#healed === undefined) return;
    const { what, missing, foreign } = this.#healed;
    this.#healed = undefined;
    this.#recorder.record({ kind: 'healed', what, added: missing, removed: foreign });
  }
}

function applyTo(model: Map<string, Element>, change: ElementChange): void {
  for (const element of change.remove) model.delete(elementId(element));
  for (const element of change.add) model.set(elementId(element), element);
}

/** What may stay of a mapping that was refused: it works in part, and is not open to anybody whom it does not allow. */
function remains(mapping: Mapping, installed: ReadonlyMap<string, Element>): readonly Element[] {
  const elements = elementsOnce(mapping);
  const stands = (element: Element) => isSame(installed.get(elementId(element)), element);
  return elements.every((element) => !element.set.startsWith('limited') || stands(element))
    ? elements.filter(stands)
    : [];
}
