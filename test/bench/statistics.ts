/** Order statistics of samples. Pure. */

/** The smallest sample that at least `share` (0 … 1) of the samples do not exceed. Throws on no samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((one, other) => one - other);
  const found = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
  if (found === undefined) throw new RangeError('no samples');
  return found;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/**
 * The median of the 99th percentiles of so many stretches of the samples: a moment in which other work had the processor
 * spoils one stretch and not the figure. With few samples it is their maximum.
 */
export function p99(samples: readonly number[], stretches = 10): number {
  const length = Math.ceil(samples.length / stretches);
  if (length < 100) return quantile(samples, 0.99);
  const starts = Array.from({ length: Math.ceil(samples.length / length) }, (_, index) => index * length);
  return median(starts.map((start) => quantile(samples.slice(start, start + length), 0.99)));
}

/** The median of the ratios of samples that were taken at about the same time: what slows both down cancels out. */
export function pairedRatio(samples: readonly number[], baseline: readonly number[]): number {
  return median(samples.map((sample, index) => sample / (baseline[index] ?? Number.NaN)));
}
