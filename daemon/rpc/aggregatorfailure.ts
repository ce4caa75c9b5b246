/** Why a call to an aggregator failed, in words that name its address and the remedy. Pure. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { printable } from '../core/text.ts';

const MAX_DETAILS = 512;

/** What Node and OpenSSL say of a connection, and what to do about it. */
const CONNECTIONS: readonly (readonly [RegExp, (address: string) => string])[] = [
  [
    /ECONNREFUSED/,
    (at) => `nobody listens at ${at}: is an aggregator running there? Give its address with --aggregator`,
  ],
  [
    /ENOTFOUND|EAI_AGAIN|Name resolution failed/,
    (at) => `the name in ${at} leads nowhere from here: give an address that this host can reach with --aggregator`,
  ],
  [
    /EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|not connected in time/,
    (at) => `${at} cannot be reached from here: look at routes and firewalls`,
  ],
  [
    /altnames/,
    (at) => `the certificate of ${at} is made for another name: give one that is in it with --aggregator-server-name`,
  ],
  [
    /self.signed|unable to (?:verify|get)|certificate signature failure|CERT_|certificate has expired|not yet valid/,
    (at) => `the certificate of ${at} is not to be trusted by --aggregator-ca: give the authority that has signed it`,
  ],
  [
    /wrong version number|WRONG_VERSION_NUMBER/,
    (at) => `${at} speaks no TLS: it is the plaintext port of an aggregator, or of something else`,
  ],
];

export function whyAggregatorFailed(error: ServiceError, address: string): string {
  const at = printable(address, 300);
  const details = printable(error.details ?? error.message, MAX_DETAILS);
  switch (error.code) {
    case status.UNAVAILABLE: {
      const known = CONNECTIONS.find(([pattern]) => pattern.test(details));
      return known === undefined ? `the aggregator at ${at} is not available: ${details}` : known[1](at);
    }
    case status.DEADLINE_EXCEEDED:
      return `the aggregator at ${at} did not answer in time: look at its log`;
    case status.UNIMPLEMENTED:
      return `what listens at ${at} is no Berth aggregator, or an older one: ${details}`;
    case status.UNAUTHENTICATED:
      return `the aggregator at ${at} does not know this caller: ${details}; give a token with --aggregator-token, or a certificate`;
    default:
      return `the aggregator at ${at} answered: ${details}`;
  }
}
