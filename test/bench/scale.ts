/** How much is measured: all of it, or so little that one can wait for it. */

export interface Scale {
  readonly quick: boolean;
  /** The full figure, or the one of a quick run. */
  pick<T>(full: T, quick: T): T;
}

export function scaleOf(quick: boolean): Scale {
  return { quick, pick: (full, short) => (quick ? short : full) };
}
