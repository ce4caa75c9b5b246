/**
 * Certificates and keys as PEM, read with care: they come from files and Secrets that anybody may have written anything into.
 * Whatever is wrong is a CONFIG_INVALID that says what, where and what would be right, and never holds a byte of a key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { BerthError } from '../core/errors.ts';
import { printable } from '../core/text.ts';

/** A certificate (with those between it and its authority behind it) and its key, both PEM. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** A bundle of the authorities of this world has some 150 certificates and 250 KB. */
const MAX_BYTES = 1024 * 1024;
const MAX_CERTIFICATES = 512;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** All certificates of a PEM text, at least one. `where` is how messages call it. Throws CONFIG_INVALID. */
export function readCertificates(pem: string, where: string): readonly X509Certificate[] {
  refuseLong(pem, where);
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw unusable(where, 'it holds no certificate: write PEM (-----BEGIN CERTIFICATE-----)');
  if (blocks.length > MAX_CERTIFICATES) throw unusable(where, `it holds more than ${MAX_CERTIFICATES} certificates`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw unusable(where, `its certificate ${index + 1} cannot be read: it was cut or is no X.509`);
    }
  });
}

/** Checks that the key is the certificate's. Throws CONFIG_INVALID. */
export function readIdentity(
  cert: string,
  key: string,
  where: { readonly cert: string; readonly key: string },
): Identity {
  const [leaf] = readCertificates(cert, where.cert);
  refuseLong(key, where.key);
  if (leaf?.checkPrivateKey(privateKey(key, where.key)) !== true) {
    throw unusable(
      where.key,
      `it is not the key of the certificate in ${where.cert}: give the two that belong together`,
    );
  }
  refuseUnfit({ cert, key }, where.cert);
  return { cert, key };
}

/** OpenSSL demands more of what it shows: that its key is long enough, and that nothing stands before it that it takes for a certificate. */
function refuseUnfit(identity: Identity, where: string): void {
  try {
    createSecureContext(identity);
  } catch (error) {
    const { reason = 'it says no more' } = error as { readonly reason?: string };
    throw unusable(where, `it cannot be shown over TLS (${printable(reason, 128)}): give another one`);
  }
}

function privateKey(pem: string, where: string): KeyObject {
  if (/ENCRYPTED/.test(pem)) throw unusable(where, 'the key is encrypted: give it without a passphrase');
  try {
    return createPrivateKey(pem);
  } catch {
    // The reason that OpenSSL gives is as a rule "unsupported"; nothing of it helps.
    throw unusable(where, 'it holds no private key: write PEM (-----BEGIN PRIVATE KEY-----)');
  }
}

function refuseLong(pem: string, where: string): void {
  if (pem.length > MAX_BYTES) throw unusable(where, `it has more than ${MAX_BYTES} bytes`);
}

function unusable(where: string, why: string): BerthError {
  return new BerthError('CONFIG_INVALID', `${where}: ${why}`);
}
