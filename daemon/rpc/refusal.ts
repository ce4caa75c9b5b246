/** A call that the server refuses, as grpc-js sends it. It is part of the protocol, not an error of Berth. */
import { status } from '@grpc/grpc-js';

export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: status;
  /** What grpc-js sends; never holds text from the request (it fails on a lone surrogate). */
  readonly details: string;
  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

/** Whatever was thrown, as a status; what is no refusal is a defect: `report` hears of it, the client only that it happened. */
export function refusalOf(thrown: unknown, report: (error: Error) => void): Refusal {
  if (thrown instanceof Refusal) return thrown;
  report(thrown instanceof Error ? thrown : new Error(String(thrown)));
  return new Refusal(status.INTERNAL, 'the server failed to answer; its log says why');
}
