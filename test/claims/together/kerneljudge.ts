/**
 * What one node's table may say, judged after every transaction of its agents by what the API server has had, and by what the agent
 * was told: nothing that the product decides is used.
 */
import type { AgentLife } from '../../simulate/agentlife.ts';
import type { Ground, Witness } from '../../simulate/ground.ts';
import type { SimNode } from '../../simulate/simnode.ts';
import { DISK_MS } from '../../simulate/stage.ts';
import { type Rule, rulesOf } from '../../simulate/table.ts';
import type { ClaimFacts, History, PodFacts } from './history.ts';
import type { Verdict } from './verdict.ts';

/** Of all classes. Nothing else of a run has one of them. */
export const NUMBERS = { first: 6_900, last: 7_299 } as const;
/** A bound claim is asked for so often, in ms: so long an agent may believe what its class said of the hand-over. */
const BELIEVED_MS = 380_000;

/** A number of a claim that leads to a pod. */
export interface Lead {
  readonly rule: Rule;
  readonly pod: PodFacts;
  readonly claim: ClaimFacts;
}

export interface KernelJudgeOptions {
  readonly name: string;
  readonly node: SimNode;
  readonly history: History;
  readonly verdict: Verdict;
  readonly now: () => number;
  /** The table has changed. */
  readonly onCommit: () => void;
  readonly reach: (what: string) => void;
}

export class KernelJudge implements Witness {
  readonly #options: KernelJudgeOptions;
  #before: readonly Rule[] = [];
  /** By uid and port: the number that the pod got. */
  readonly #numbers = new Map<string, number>();
  /** Transactions. */
  commits = 0;

  constructor(options: KernelJudgeOptions) {
    this.#options = options;
  }

  fail(invariant: string, detail: string): void {
    this.#options.verdict.wrong(invariant, `${this.#options.name}: ${detail}`);
  }

  /** What the table says now; what nobody may have is reported. */
  leads(): readonly Lead[] {
    const { history, name } = this.#options;
    return this.#rules().flatMap((rule) => {
      const pod = history.pods.get(rule.uid);
      const claim = pod && history.rightOf(pod, rule.name, rule.first);
      if (pod !== undefined && claim !== undefined && pod.node === name) return { rule, pod, claim };
      const owner = history.ownerOf(rule.first);
      this.fail(
        'a number leads to pods of its claim only',
        `${rule.first} leads to pod ${nameOf(pod)}, and is ${owner?.key ?? 'nobody'}'s`,
      );
      return [];
    });
  }

  beforeApply(): void {
    this.#before = this.#rules();
  }

  applied(life: AgentLife<Ground>): void {
    this.commits++;
    const now = this.#rules();
    for (const rule of now) this.#keeps(rule);
    for (const was of this.#before) {
      const is = now.find((rule) => placeOf(rule) === placeOf(was));
      const pod = this.#options.history.pods.get(was.uid);
      if (is?.uid === was.uid || pod === undefined || !pod.active) continue;
      if (is === undefined)
        this.fail('no number is lost', `${was.first} was taken from pod ${nameOf(pod)}, which lives`);
      else this.#movedOn(life, was, is);
    }
    this.leads();
    this.#options.onCommit();
  }

  /** A pod that lives keeps its number, whatever becomes of the node and its agents. */
  #keeps({ uid, name, first }: Rule): void {
    const pod = this.#options.history.pods.get(uid);
    const owner = `${uid}/${name}`;
    const before = this.#numbers.get(owner) ?? first;
    if (before !== first && pod?.active)
      this.fail('a pod keeps its number', `pod ${nameOf(pod)} had ${before} and has ${first}`);
    this.#numbers.set(owner, first);
  }

  /** From one live pod to another. */
  #movedOn(life: AgentLife<Ground>, was: Rule, is: Rule): void {
    const { history, now, reach } = this.#options;
    const { view } = life.link;
    const [from, to] = [history.pods.get(was.uid), history.pods.get(is.uid)];
    const [told, other] = [view.get(is.uid), view.get(was.uid)];
    if (from === undefined || to === undefined || told === undefined || other === undefined) return;
    reach('a number is handed over');
    const what = `${was.first} went from pod ${nameOf(from)} to ${nameOf(to)}`;
    const claim = history.rightOf(from, was.name, was.first);
    const believed = claim?.onReady === true || now() - (claim?.onReadyUntil ?? 0) < BELIEVED_MS;
    if (!believed) this.fail('a hand-over waits as the class says', `${what} before that one had ended`);
    // What the agent heard later than it decided does not count.
    const decidedAt = life.idleAt - DISK_MS;
    if (told.ready !== true && (view.readySince(is.uid) ?? 0) < decidedAt)
      this.fail('a hand-over is to a ready pod', what);
    if ((view.since(is.uid) ?? 0) < decidedAt && told.terminating)
      this.fail('a hand-over is to a ready pod', `${what}, which is being deleted`);
    const isSettled = Math.max(view.since(is.uid) ?? 0, view.since(was.uid) ?? 0) < decidedAt;
    if (isSettled && to.created < from.created && !other.terminating)
      this.fail('a hand-over never goes back', `${what}, which is older`);
  }

  #rules(): readonly Rule[] {
    const { node } = this.#options;
    return rulesOf(node.ruleset.elements()).filter(
      ({ first, element }) => first >= NUMBERS.first && first <= NUMBERS.last && !node.isForeign(element),
    );
  }

  starts(): void {}
  ended(): void {}
  tampered(): void {}
  loading(): void {}
  read(): void {}
  reserved(): void {}
  released(): void {}
  purgeFailed(): void {}
  purged(): void {}
  announced(): void {}
  published(): void {}
  writing(): void {}
}

export function nameOf(pod: PodFacts | undefined): string {
  return pod === undefined ? 'of nobody' : `${pod.namespace}/${pod.name} (${pod.uid})`;
}

function placeOf({ protocol, family, first }: Rule): string {
  return `${protocol}/${family}/${first}`;
}
