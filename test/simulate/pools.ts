/** The pools of every run: one with room for all, one that is soon exhausted, one with limits, one bound to addresses. */
import type { PoolConfig } from '../../daemon/core/pool.ts';

export const POOLS: readonly PoolConfig[] = [
  { name: 'default', ranges: [{ first: 20_000, last: 20_199 }], maxPortsPerPod: 64, quarantineMs: 60_000 },
  { name: 'small', ranges: [{ first: 21_000, last: 21_005 }], maxPortsPerPod: 64, quarantineMs: 10_000 },
  {
    name: 'games',
    ranges: [
      { first: 22_000, last: 22_009 },
      { first: 22_020, last: 22_029 },
    ],
    namespaces: ['games'],
    maxPortsPerPod: 8,
    maxPerNamespace: 12,
    quarantineMs: 30_000,
  },
  {
    name: 'public',
    ranges: [{ first: 23_000, last: 23_019 }],
    hostIPs: [{ family: 4, text: '192.0.2.0/24' }],
    maxPortsPerPod: 64,
    quarantineMs: 60_000,
  },
];

/** The same after the administrator took numbers away. */
export const SHRUNK: readonly PoolConfig[] = POOLS.map((pool) => {
  if (pool.name === 'default') return { ...pool, ranges: [{ first: 20_000, last: 20_179 }] };
  return pool.name === 'small' ? { ...pool, ranges: [{ first: 21_000, last: 21_002 }] } : pool;
});
