/**
 * One question from somewhere to somewhere, and what came of it as one text: `pod sees 192.0.2.2`, the name of the error
 * (`ECONNREFUSED`: somebody said no at once), or `silence`.
 */
import type { Protocol } from '../../../daemon/core/vocabulary.ts';
import type { Namespace } from '../namespace.ts';
import { Conversation } from './conversation.ts';

export interface Question {
  readonly protocol: Exclude<Protocol, 'SCTP'>;
  readonly address: string;
  readonly port: number;
  /** The client's own address; by default the kernel chooses. */
  readonly source?: string | undefined;
  /** How long no answer is silence, in ms. */
  readonly patience?: number;
}

/** Never rejects. */
export async function probe(from: Namespace, question: Question): Promise<string> {
  using conversation = new Conversation(from, question);
  return await conversation.ask(question.patience);
}
