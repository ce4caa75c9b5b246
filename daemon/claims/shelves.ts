/** Everything that the controller has seen, one shelf for each kind. */
import type { ClaimView, NodePool, Uses } from '../core/claims/view.ts';
import type { Seen, SeenKind } from './ports.ts';
import { Shelf } from './shelf.ts';

export class Shelves {
  readonly classes = new Shelf<Seen['class']>();
  readonly claims = new Shelf<Seen['claim']>();
  readonly hostPorts = new Shelf<Seen['hostport']>();
  readonly statefulSets = new Shelf<Seen['statefulset']>();
  readonly namespaces = new Shelf<Seen['namespace']>();

  of<K extends SeenKind>(kind: K): Shelf<Seen[K]> {
    const shelves = {
      class: this.classes,
      claim: this.claims,
      hostport: this.hostPorts,
      statefulset: this.statefulSets,
      namespace: this.namespaces,
    };
    return shelves[kind] as unknown as Shelf<Seen[K]>;
  }

  /** Of a kind that was never listed nothing can be said: what is missing there may be anywhere. */
  get complete(): boolean {
    return [this.classes, this.claims, this.hostPorts, this.statefulSets, this.namespaces].every(
      ({ listed }) => listed,
    );
  }

  view(uses: ReadonlyMap<string, Uses>, nodePools: readonly NodePool[] | undefined): ClaimView {
    return {
      classes: this.classes.values(),
      claims: this.claims.values(),
      hostPorts: this.hostPorts.values(),
      statefulSets: this.statefulSets.values(),
      namespaces: new Map(this.namespaces.values().map(({ meta, labels }) => [meta.name, labels])),
      uses,
      nodePools,
    };
  }
}
