/**
 * The certificate authority that the replicas of the aggregator share. It stands in one place, which decides between replicas
 * that change it at once, and each replica signs its own server certificate with it.
 *
 *   empty --> signing --a fifth of its life is left--> signing, and next published --a tenth is left--> next signs,
 *                ^                                                                                       before published
 *                '-------------------------------- before has ended -----------------------------------------'
 *
 * Clients trust what is published, so that an authority is published for a long time before and after it signs. It must never
 * replace what it cannot read: an operator may be able to.
 */
import { X509Certificate } from 'node:crypto';
import { BerthError, messageOf } from '../core/errors.ts';
import type { Clock } from '../reconcile/ports.ts';
import { makeAuthority } from './certificates.ts';
import { type Identity, readCertificates, readIdentity } from './identity.ts';

/** Where the authority stands and where it is published. Both exist, and may be empty. */
export interface AuthorityStore {
  /** How messages call it. */
  readonly where: string;
  read(): Promise<{ readonly data: Readonly<Record<string, string>>; readonly revision: string }>;
  /** Replaces what was read at that revision; false when somebody else was faster. */
  replace(data: Readonly<Record<string, string>>, revision: string): Promise<boolean>;
  /** Certificates as clients take them; writes nothing when they stand there. */
  publish(bundle: string): Promise<void>;
}

export interface AuthorityTimes {
  readonly lifeMs: number;
  /** So long before the end of the one that signs the next one is made and published … */
  readonly publishMs: number;
  /** … and so long before it the next one signs. */
  readonly signMs: number;
}

export interface Authority {
  /** Signs. */
  readonly signer: Identity;
  /** Everything that clients are to trust. */
  readonly bundle: string;
}

const DAY = 86_400_000;
/** Those who copied the bundle by hand have a year and a half a turn to copy it again. */
export const TIMES: AuthorityTimes = { lifeMs: 5 * 365 * DAY, publishMs: 365 * DAY, signMs: 182 * DAY };
const NAME = 'Berth aggregator authority';
/** Kubernetes calls them so in a Secret of type kubernetes.io/tls. */
const [CERT, KEY, NEXT_CERT, NEXT_KEY, BEFORE] = ['tls.crt', 'tls.key', 'next.crt', 'next.key', 'before.crt'] as const;
/** Replicas that are started together. */
const MAX_ATTEMPTS = 10;

interface State {
  readonly signing: Identity;
  readonly next: Identity | undefined;
  readonly before: string | undefined;
}

/** The authority as it is to be now: made, published and turned as its time demands. Rejects with CONFIG_INVALID, or as the store does. */
export async function settleAuthority(
  store: AuthorityStore,
  clock: Pick<Clock, 'now'>,
  times: AuthorityTimes = TIMES,
): Promise<Authority> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const { data, revision } = await store.read();
    const stands = stateOf(data, store.where);
    const wanted = turned(stands, clock.now(), times);
    // Whoever was slower takes what the faster one wrote.
    if (wanted !== stands && !(await store.replace(dataOf(wanted), revision))) continue;
    const bundle = [wanted.signing.cert, wanted.next?.cert, wanted.before].filter((one) => one !== undefined).join('');
    await store.publish(bundle);
    return { signer: wanted.signing, bundle };
  }
  throw new BerthError('API_REFUSED', `${store.where}: it is changed by others again and again`);
}

/** What is to stand there; the very same state when nothing is to change. */
function turned(stands: State | undefined, now: number, { lifeMs, publishMs, signMs }: AuthorityTimes): State {
  const fresh = () => makeAuthority(NAME, { from: now, to: now + lifeMs });
  if (stands === undefined) return { signing: fresh(), next: undefined, before: undefined };
  const { signing, next, before } = stands;
  const end = endOf(signing.cert);
  // Nobody could be reached any more: there is nothing to wait for.
  if (end <= now) return { signing: next ?? fresh(), next: undefined, before: undefined };
  if (next !== undefined && end - now <= signMs) return { signing: next, next: undefined, before: signing.cert };
  if (next === undefined && end - now <= publishMs) return { signing, next: fresh(), before };
  if (before !== undefined && endOf(before) <= now) return { signing, next, before: undefined };
  return stands;
}

function stateOf(data: Readonly<Record<string, string>>, where: string): State | undefined {
  const { [CERT]: cert, [KEY]: key, [NEXT_CERT]: nextCert, [NEXT_KEY]: nextKey, [BEFORE]: before } = data;
  if (cert === undefined && key === undefined) return undefined;
  try {
    const signing = authorityOf(cert, key, `${where}, ${CERT}`, `${where}, ${KEY}`);
    const next =
      nextCert === undefined && nextKey === undefined
        ? undefined
        : authorityOf(nextCert, nextKey, `${where}, ${NEXT_CERT}`, `${where}, ${NEXT_KEY}`);
    if (before !== undefined) readCertificates(before, `${where}, ${BEFORE}`);
    return { signing, next, before };
  } catch (error) {
    const remedy =
      'write what stood there before, or empty its data: a new authority is then made, and clients must be given it';
    throw new BerthError('CONFIG_INVALID', `${messageOf(error)}; ${remedy}`);
  }
}

function authorityOf(cert = '', key = '', certWhere: string, keyWhere: string): Identity {
  const identity = readIdentity(cert, key, { cert: certWhere, key: keyWhere });
  if (new X509Certificate(cert).ca) return identity;
  throw new BerthError('CONFIG_INVALID', `${certWhere}: it is not the certificate of an authority`);
}

function dataOf({ signing, next, before }: State): Readonly<Record<string, string>> {
  return {
    [CERT]: signing.cert,
    [KEY]: signing.key,
    ...(next && { [NEXT_CERT]: next.cert, [NEXT_KEY]: next.key }),
    ...(before !== undefined && { [BEFORE]: before }),
  };
}

function endOf(cert: string): number {
  return new X509Certificate(cert).validToDate.getTime();
}
