/** The time of one pass, by both clocks, and how it is written down. */

export interface PassTime {
  /** Monotonic, in ms: what decides. */
  readonly monotonic: number;
  /** ISO, without fractions of a second (metav1.Time): what is told. */
  readonly text: string;
}
