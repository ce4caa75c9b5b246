/** What an earlier agent left and this one has still to bring to its end: flows to look at, and mappings nobody announced since. */
import { type Ledger, portKey } from '../core/ledger.ts';
import type { Grant } from '../core/state.ts';
import type { Mapping } from '../core/vocabulary.ts';
import { mappingKey } from './plan.ts';
import type { Recorder } from './ports.ts';

export class Inheritance {
  readonly #recorder: Recorder;
  /** Grants whose flows were not looked at yet, by grantKey. */
  readonly #flows = new Set<string>();
  /** Ports that this agent has not announced, by mappingKey. */
  readonly #unseen = new Set<string>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(grant: Grant): void {
    this.#flows.add(grantKey(grant));
    this.#unseen.add(`${grant.uid}/${portKey(grant)}`);
  }

  /**
   * The grants whose flows are to be looked at, each once: the earlier agent may have died in the midst of a take-down.
   * Those of `suspects` have to wait.
   */
  takeFlows(ledger: Ledger, suspects: ReadonlySet<string>): readonly Grant[] {
    if (this.#flows.size === 0) return [];
    return ledger.grants().filter((grant) => !suspects.has(grant.uid) && this.#flows.delete(grantKey(grant)));
  }

  /** From here on the mapping is this agent's. */
  announced(mapping: Mapping): void {
    this.#unseen.delete(mappingKey(mapping));
  }

  /** The audit trail knows of the end of what an earlier agent began, also when this one never announced it. */
  revoked(grant: Grant): void {
    const { uid, namespace, pod: name, givenAt, ...rest } = grant;
    const mapping: Mapping = { ...rest, pod: { namespace, name, uid }, podIPs: [] };
    if (!this.#unseen.delete(mappingKey(mapping))) return;
    this.#recorder.record({ kind: 'released', mapping, liveMs: undefined, givenAt });
  }
}

function grantKey(grant: Grant): string {
  return `${grant.uid}/${portKey(grant)}/${grant.hostPort}`;
}
