/**
 * What is to be done, one step for each thing. A step names what was seen; who carries it out asks the API server again where what was
 * seen may be old and a mistake could give one number to two claims.
 */
import type {
  Claim,
  ClaimName,
  ClaimStatus,
  ClassStatus,
  HostPort,
  HostPortClass,
  HostPortStatus,
  StatefulSet,
} from './objects.ts';

/** What people are told of a step once it is done. */
export interface News {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** One of the three, with the object that it is. */
export type Owned =
  | { readonly kind: 'class'; readonly object: HostPortClass }
  | { readonly kind: 'claim'; readonly object: Claim }
  | { readonly kind: 'hostport'; readonly object: HostPort };

/** Where the number of a claim comes from. */
export type Source =
  /** No HostPort of that name is known. */
  | { readonly kind: 'make'; readonly number: number }
  /** It belongs to nobody, or is kept for a claim of this name. */
  | { readonly kind: 'take'; readonly hostPort: HostPort }
  /** It is this claim's already. */
  | { readonly kind: 'have'; readonly hostPort: HostPort };

export type Step =
  /** Before anything relies on the object. */
  | { readonly kind: 'hold'; readonly owned: Owned }
  | { readonly kind: 'tell-class'; readonly object: HostPortClass; readonly status: ClassStatus; readonly news?: News }
  | { readonly kind: 'tell-claim'; readonly object: Claim; readonly status: ClaimStatus; readonly news?: News }
  | { readonly kind: 'tell-hostport'; readonly object: HostPort; readonly status: HostPortStatus }
  /** The HostPort becomes the claim's, then the claim says so. */
  | {
      readonly kind: 'bind';
      readonly claim: Claim;
      readonly className: string;
      readonly source: Source;
      readonly status: ClaimStatus;
      readonly news: News;
    }
  /** A bound claim's HostPort is gone: it is made again. */
  | {
      readonly kind: 'remake';
      readonly claim: Claim;
      readonly className: string;
      readonly number: number;
      readonly news: News;
    }
  /** A bound claim's HostPort does not name it any more. */
  | { readonly kind: 'restore'; readonly claim: Claim; readonly hostPort: HostPort; readonly news: News }
  /** Another claim has the number of this one. */
  | { readonly kind: 'lose'; readonly claim: Claim; readonly status: ClaimStatus; readonly news: News }
  /** Its claim is gone, and it stays: an administrator who reads that may give it to others. */
  | {
      readonly kind: 'retain';
      readonly hostPort: HostPort;
      readonly status: HostPortStatus;
      readonly news?: News;
    }
  /** Nobody has this HostPort any more: its claim is gone, or has another one. `keep`: it is for others then, else it goes. */
  | { readonly kind: 'release'; readonly hostPort: HostPort; readonly keep: boolean; readonly news: News }
  /** A claim that has no number yet is not to have this HostPort; `status` is what it is told before. */
  | { readonly kind: 'withdraw'; readonly hostPort: HostPort; readonly claim: Claim; readonly status: ClaimStatus }
  /** It is being deleted and is nobody's. */
  | { readonly kind: 'let-go'; readonly hostPort: HostPort }
  /** Which pods of the namespace use claims. */
  | { readonly kind: 'ask'; readonly namespace: string; readonly claims: readonly Claim[] }
  /** The claim is being deleted and no pod needs its number. */
  | { readonly kind: 'finish'; readonly claim: Claim }
  /** The class is being deleted and no HostPort of it is left. */
  | { readonly kind: 'retire'; readonly object: HostPortClass }
  | {
      readonly kind: 'provide';
      readonly claim: ClaimName;
      readonly className: string;
      readonly statefulSet: StatefulSet;
    };

/** What is wrong with something that cannot be told in its own status. */
export interface Complaint {
  readonly statefulSet: StatefulSet;
  readonly news: News;
}

/** What the step is about: two steps about one thing are never under way together. */
export function subjectOf(step: Step): string {
  switch (step.kind) {
    case 'hold':
      return step.owned.object.meta.uid;
    case 'tell-class':
    case 'tell-hostport':
    case 'tell-claim':
    case 'retire':
      return step.object.meta.uid;
    case 'bind':
    case 'remake':
    case 'restore':
    case 'lose':
    case 'finish':
      return step.claim.meta.uid;
    case 'retain':
    case 'release':
    case 'withdraw':
    case 'let-go':
      return step.hostPort.meta.uid;
    case 'ask':
      return step.namespace;
    case 'provide':
      return `${step.claim.namespace}/${step.claim.name}`;
  }
}
