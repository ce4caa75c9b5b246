/** A tracked connection as far as Berth needs it. Pure data and the question whether it disagrees with the mappings. */
import type { Protocol } from './vocabulary.ts';

export interface Flow {
  readonly protocol: Protocol;
  /** Source of the original direction, canonical text. */
  readonly source: string;
  readonly sourcePort: number;
  /** Destination of the original direction: the address and port that the client meant. */
  readonly destination: string;
  readonly port: number;
  /** Source of the reply direction: where the flow was sent to. Equal to destination and port when not translated. */
  readonly replySource: string;
  readonly replyPort: number;
}
