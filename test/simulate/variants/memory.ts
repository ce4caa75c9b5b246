/** What an agent believes to stand in the table, for the bugs that come of believing. */
import type { Installed } from '../../../daemon/reconcile/ports.ts';
import { type Element, type ElementChange, elementId } from '../../../rules/element.ts';

/** What the agents of a run have written, whatever became of it. */
export class Memory {
  readonly #elements = new Map<string, Element>();

  get elements(): readonly Element[] {
    return [...this.#elements.values()];
  }

  get(element: Element): Element | undefined {
    return this.#elements.get(elementId(element));
  }

  learn(installed: Installed): Installed {
    for (const element of installed.elements) this.#elements.set(elementId(element), element);
    return installed;
  }

  apply({ remove, add }: ElementChange): void {
    for (const element of remove) this.#elements.delete(elementId(element));
    for (const element of add) this.#elements.set(elementId(element), element);
  }
}
