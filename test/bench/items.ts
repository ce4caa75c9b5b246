/** Every measurement by its name, in the order in which they run. Each is a program of its own: `one.ts NAME`. */
import type { Row } from './row.ts';
import type { Scale } from './scale.ts';

/** Tells its rows as they are known. Leaves nothing behind, also when it fails. */
export type Measure = (scale: Scale, tell: (row: Row) => void) => Promise<void>;

export interface Item {
  /** Longest time in s, full and quick; it is ended then. */
  readonly seconds: readonly [full: number, quick: number];
  readonly load: () => Promise<Measure>;
}

export const ITEMS: Readonly<Record<string, Item>> = {
  commit: { seconds: [60, 20], load: async () => (await import('./commit.ts')).measure },
  peer: { seconds: [150, 40], load: async () => (await import('./peer.ts')).measure },
  adoption: { seconds: [60, 30], load: async () => (await import('./adoption.ts')).measure },
  heal: { seconds: [40, 20], load: async () => (await import('./heal.ts')).measure },
  burst: { seconds: [60, 30], load: async () => (await import('./burst.ts')).measure },
  single: { seconds: [60, 30], load: async () => (await import('./single.ts')).measure },
  api: { seconds: [420, 240], load: async () => (await import('./api.ts')).measure },
  sockets: { seconds: [30, 15], load: async () => (await import('./sockets.ts')).measure },
  move: { seconds: [60, 30], load: async () => (await import('./move.ts')).measure },
  stale: { seconds: [60, 30], load: async () => (await import('./stale.ts')).measure },
  idle: { seconds: [240, 40], load: async () => (await import('./idle.ts')).measure },
  aggregator: { seconds: [420, 60], load: async () => (await import('./aggregator.ts')).measure },
  connections: { seconds: [60, 20], load: async () => (await import('./connections.ts')).measure },
  rate: { seconds: [90, 40], load: async () => (await import('./rate.ts')).measure },
  bystander: { seconds: [150, 60], load: async () => (await import('./bystander.ts')).measure },
};
