/**
 * What the tables of all nodes may say together, after each transaction and each change of a claim: one number leads to pods of one
 * claim.
 *
 * There is one excuse. A claim is let go when the API server says that its last pod has ended or is gone; the node of that pod hears
 * so a moment later, and while it is cut off or its agent is dead it does not hear it at all. Nobody could wait for it: the pod, on
 * which the agent could have said that it let the number go, is gone, and a node that never comes back would hold the number for
 * ever. What is left there leads to an address that no pod has. So a rule to a pod that has ended is excused until its agent was
 * told, and for a second of work after that. For a pod that lives there is no excuse, whatever fails.
 */
import type { Host } from './host.ts';
import { type KernelJudge, type Lead, nameOf } from './kerneljudge.ts';
import type { Verdict } from './verdict.ts';

/** What is left of an ended pod is taken away so soon after the agent was told and could act, in ms: with a disk that answers late. */
const TAKEN_DOWN_MS = 5_000;

export interface Judged {
  readonly host: Host;
  readonly kernel: KernelJudge;
}

export class ClusterJudge {
  readonly #hosts: readonly Judged[];
  readonly #verdict: Verdict;
  readonly #now: () => number;
  readonly #reach: (what: string) => void;
  /** By uid: when its node's agent was first seen to know that the pod has ended. */
  readonly #toldAt = new Map<string, number>();

  constructor(hosts: readonly Judged[], verdict: Verdict, now: () => number, reach: (what: string) => void) {
    this.#hosts = hosts;
    this.#verdict = verdict;
    this.#now = now;
    this.#reach = reach;
  }

  look(): void {
    const leads = new Map<number, (readonly [Host, Lead])[]>();
    for (const { host, kernel } of this.#hosts) {
      for (const lead of kernel.leads()) {
        const { first } = lead.rule;
        leads.set(first, [...(leads.get(first) ?? []), [host, lead]]);
        this.#outlives(host, lead);
      }
    }
    for (const [number, all] of leads) this.#compare(number, all);
  }

  #compare(number: number, all: readonly (readonly [Host, Lead])[]): void {
    if (new Set(all.map(([, { claim }]) => claim.uid)).size < 2) return;
    const living = all.filter(([, { pod }]) => pod.active);
    this.#reach('a number is left to an ended pod where another claim has it');
    if (new Set(living.map(([, { claim }]) => claim.uid)).size < 2) return;
    const where = living.map(([{ name }, { pod }]) => `${nameOf(pod)} on ${name}`).join(' and ');
    this.#verdict.wrong('one number, one claim on all nodes', `${number} leads to pods ${where}`);
  }

  /** A rule to a pod that has ended. */
  #outlives(host: Host, { rule, pod }: Lead): void {
    const { life } = host;
    if (pod.active) return;
    if (life === undefined || !this.#isTold(host, pod.uid)) {
      this.#toldAt.delete(pod.uid);
      return;
    }
    const toldAt = this.#toldAt.get(pod.uid) ?? this.#now();
    this.#toldAt.set(pod.uid, toldAt);
    const since = Math.max(toldAt, host.ground.weather.impairedUntil);
    if (this.#now() - since > TAKEN_DOWN_MS)
      this.#verdict.wrong('what has ended is taken down', `${rule.first} leads to pod ${nameOf(pod)} on ${host.name}`);
  }

  #isTold({ life }: Host, uid: string): boolean {
    const view = life?.link.view;
    if (view === undefined) return false;
    const told = view.get(uid);
    if (told === undefined) return view.gone.has(uid);
    return told.phase === 'Succeeded' || told.phase === 'Failed' || (told.terminating && told.ended);
  }
}
