/** Whom a client asks, and how it makes sure that nobody else answers or reads along. Pure. */
import { classifyAddress, parseAddress } from '../core/address.ts';
import { quoted } from '../core/text.ts';
import { invalid, type Target } from './values.ts';

export type Asked = AskedAgent | AskedAggregator;

export interface AskedAgent {
  readonly kind: 'agent';
  readonly socket: string;
}

/** The replicas of one aggregator. Of files the paths. */
export interface AskedAggregator {
  readonly kind: 'aggregator';
  readonly targets: readonly Target[];
  /** Without it the calls go out in plaintext. */
  readonly authorities?: string | undefined;
  readonly serverName?: string | undefined;
  readonly token?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Plaintext may leave this host. */
  readonly insecure: boolean;
}

/** Throws CONFIG_INVALID for what would send a secret, or anything beyond this host, in plaintext. */
export function refuseUnsafe({ targets, authorities, token, cert, key, insecure }: AskedAggregator): void {
  if (targets.length === 0) throw invalid('--aggregator names none: write HOST:PORT');
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid('--aggregator-cert and --aggregator-key belong together: give both or neither');
  }
  if (authorities !== undefined) return;
  if ((token ?? cert) !== undefined) {
    throw invalid('a token or certificate is shown only over TLS: give --aggregator-ca too');
  }
  const far = targets.find((target) => !isLoopback(target));
  if (far === undefined || insecure) return;
  throw invalid(
    `${quoted(far.host)} is not loopback and would be asked in plaintext: give --aggregator-ca, or allow it with --insecure-aggregator`,
  );
}

/** `localhost` is loopback wherever it is asked for (RFC 6761, section 6.3). */
function isLoopback({ host, literal }: Target): boolean {
  const address = literal ? parseAddress(host) : undefined;
  return address === undefined ? host.toLowerCase() === 'localhost' : classifyAddress(address) === 'loopback';
}
