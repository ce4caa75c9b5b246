/** Worlds for the stories of claims. */
import type { World } from '../../daemon/reconcile/ports.ts';

/** Pods come from a directory: there is nobody who knows of claims. */
export function withoutClaims({ claims: _, ...world }: World): World {
  return world;
}
