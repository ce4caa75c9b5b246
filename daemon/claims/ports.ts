/**
 * What the controller of claims needs of the world, as interfaces. Objects come as the API server has them; a write names the revision
 * that it was decided on, and is refused when that is not the newest.
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
  Target,
} from '../core/claims/objects.ts';
import type { News, Step } from '../core/claims/steps.ts';
import type { NodePool } from '../core/claims/view.ts';
import type { BerthError } from '../core/errors.ts';
import type { Clock, Random } from '../reconcile/ports.ts';

/** What is watched, by what it is called here. */
export interface Seen {
  readonly class: HostPortClass;
  readonly claim: Claim;
  readonly hostport: HostPort;
  readonly statefulset: StatefulSet;
  readonly namespace: Namespace;
}

export type SeenKind = keyof Seen;

export interface Namespace {
  readonly meta: { readonly name: string; readonly uid: string; readonly revision: string };
  readonly labels: Readonly<Record<string, string>>;
}

/** Told as the API server tells it: late, again, never less than the next list. */
export interface ClaimObserver {
  listed<K extends SeenKind>(kind: K, objects: readonly Seen[K][]): void;
  changed<K extends SeenKind>(kind: K, object: Seen[K]): void;
  deleted<K extends SeenKind>(kind: K, object: Seen[K]): void;
  failed(error: BerthError): void;
}

/** `stale`: it was changed, or is gone, or is there already: what was seen is old. */
export type Written<T> = { readonly kind: 'written'; readonly object: T } | { readonly kind: 'stale' };

/** The claims that one pod that has not ended names. */
export interface PodUse {
  readonly pod: string;
  readonly uid: string;
  readonly created: string;
  /** An agent has told it a number. */
  readonly promised: boolean;
  readonly claims: readonly string[];
}

/** Reads are answered with what is so now, not from a cache. All reject when the API server gives no answer, or forbids it. */
export interface ClaimApi {
  /** Until the signal aborts. Never rejects. */
  watch(observer: ClaimObserver, signal: AbortSignal): Promise<void>;
  claim(name: ClaimName): Promise<Claim | undefined>;
  hostPort(name: string): Promise<HostPort | undefined>;
  claims(): Promise<readonly Claim[]>;
  hostPorts(): Promise<readonly HostPort[]>;
  podsOf(namespace: string): Promise<readonly PodUse[]>;

  makeHostPort(
    number: number,
    className: string,
    claim: ClaimName & { readonly uid: string },
  ): Promise<Written<HostPort>>;
  makeClaim(name: ClaimName, className: string, owner: StatefulSet): Promise<Written<Claim>>;
  /** `claim` undefined: it is nobody's. */
  setClaimRef(
    hostPort: Target,
    claim: (ClaimName & { readonly uid: string }) | undefined,
    finalizers: readonly string[],
  ): Promise<Written<HostPort>>;
  setFinalizers<K extends 'class' | 'claim' | 'hostport'>(
    kind: K,
    target: Target,
    finalizers: readonly string[],
  ): Promise<Written<Seen[K]>>;
  setStatus<K extends 'class' | 'claim' | 'hostport'>(
    kind: K,
    target: Target,
    status: StatusOf[K],
  ): Promise<Written<Seen[K]>>;
  /** While finalizers hold it, it is only marked as being deleted. */
  removeHostPort(hostPort: Target): Promise<Written<HostPort>>;
}

export interface StatusOf {
  readonly class: ClassStatus;
  readonly claim: ClaimStatus;
  readonly hostport: HostPortStatus;
}

/** What an Event can be about. */
export type About =
  | { readonly kind: 'HostPortClass'; readonly object: HostPortClass }
  | { readonly kind: 'HostPortClaim'; readonly object: Claim }
  | { readonly kind: 'HostPort'; readonly object: HostPort }
  | { readonly kind: 'StatefulSet'; readonly object: StatefulSet };

export type ClaimEvent =
  | { readonly kind: 'news'; readonly about: About; readonly news: News }
  /** A step was done, or refused because what was seen was old. */
  | { readonly kind: 'step'; readonly step: Step['kind']; readonly outcome: 'done' | 'stale' }
  | { readonly kind: 'failure'; readonly operation: string; readonly error: Error }
  /** All kinds were listed: from now on something can be done. */
  | { readonly kind: 'synced' }
  | { readonly kind: 'pass'; readonly ms: number; readonly steps: number };

export interface ClaimRecorder {
  record(event: ClaimEvent): void;
}

export interface ClaimWorld {
  readonly clock: Clock;
  readonly random: Random;
  /** ISO, without fractions of a second (metav1.Time). */
  readonly timestamp: () => string;
  readonly api: ClaimApi;
  readonly recorder: ClaimRecorder;
  /** Undefined while not every node has told its pools. */
  readonly nodePools: () => readonly NodePool[] | undefined;
}
