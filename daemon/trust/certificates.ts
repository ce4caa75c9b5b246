/**
 * Makes certificates: an authority that signs itself, and server certificates that it signs. P-256 keys and ECDSA with SHA-256
 * (RFC 5480, RFC 5758): a handshake then costs a tenth of what it costs with RSA. Node can sign and read certificates but not
 * write them; their structure is written by the schemas of @peculiar/asn1-x509. It must never let a key reach an error.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import * as asn from '@peculiar/asn1-x509';
import type { Identity } from './identity.ts';

export interface Lifetime {
  /** Both in ms since the epoch. */
  readonly from: number;
  readonly to: number;
}

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const COMMON_NAME = '2.5.4.3';
/** Clocks of nodes differ: a certificate counts from so many ms before it was made. */
const BACKDATED_MS = 3_600_000;

/** A certificate authority of its own, which can sign servers and no other authority. */
export function makeAuthority(name: string, lifetime: Lifetime): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyID = keyIdentifier(publicKey);
  const cert = certificate({
    // Two authorities of one name are told apart by the identifiers of their keys; OpenSSL wants the names to differ as well.
    issuer: distinguished(`${name} ${keyID.toString('hex').slice(0, 8)}`),
    subject: distinguished(`${name} ${keyID.toString('hex').slice(0, 8)}`),
    publicKey,
    signer: privateKey,
    lifetime,
    extensions: [
      extension(asn.id_ce_basicConstraints, new asn.BasicConstraints({ cA: true, pathLenConstraint: 0 }), true),
      extension(asn.id_ce_keyUsage, keyUsage(asn.KeyUsageFlags.keyCertSign | asn.KeyUsageFlags.cRLSign), true),
      extension(asn.id_ce_subjectKeyIdentifier, new asn.SubjectKeyIdentifier(keyID)),
    ],
  });
  return { cert, key: pemOf(privateKey) };
}

/** A certificate for servers that are reached by any of these names and addresses, at least one. */
export function issueServer(authority: Identity, names: readonly string[], lifetime: Lifetime): Identity {
  const issuer = new X509Certificate(authority.cert);
  const issued = AsnConvert.parse(issuer.raw, asn.Certificate).tbsCertificate;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const alternatives = names.map(
    (name) => new asn.GeneralName(isIP(name) === 0 ? { dNSName: name } : { iPAddress: name }),
  );
  const cert = certificate({
    issuer: issued.subject,
    // Clients look at the alternative names alone (RFC 6125 section 6.4.4); a common name has at most 64 characters.
    subject: distinguished('berth-aggregator'),
    publicKey,
    signer: authority.key,
    // What outlives its authority is refused by clients all the same.
    lifetime: { from: lifetime.from, to: Math.min(lifetime.to, issuer.validToDate.getTime()) },
    extensions: [
      extension(asn.id_ce_basicConstraints, new asn.BasicConstraints({ cA: false }), true),
      extension(asn.id_ce_keyUsage, keyUsage(asn.KeyUsageFlags.digitalSignature), true),
      extension(asn.id_ce_extKeyUsage, new asn.ExtendedKeyUsage([asn.id_kp_serverAuth])),
      extension(asn.id_ce_subjectAltName, new asn.SubjectAlternativeName(alternatives)),
      extension(asn.id_ce_subjectKeyIdentifier, new asn.SubjectKeyIdentifier(keyIdentifier(publicKey))),
      extension(
        asn.id_ce_authorityKeyIdentifier,
        new asn.AuthorityKeyIdentifier({ keyIdentifier: new asn.KeyIdentifier(keyIdentifier(issuer.publicKey)) }),
      ),
    ],
  });
  return { cert, key: pemOf(privateKey) };
}

interface Unsigned {
  readonly issuer: asn.Name;
  readonly subject: asn.Name;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject | string;
  readonly lifetime: Lifetime;
  readonly extensions: asn.Extension[];
}

function certificate({ issuer, subject, publicKey, signer, lifetime, extensions }: Unsigned): string {
  const algorithm = new asn.AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const tbsCertificate = new asn.TBSCertificate({
    version: asn.Version.v3,
    serialNumber: serialNumber(),
    signature: algorithm,
    issuer,
    subject,
    validity: new asn.Validity({
      notBefore: wholeSeconds(lifetime.from - BACKDATED_MS),
      notAfter: wholeSeconds(lifetime.to),
    }),
    subjectPublicKeyInfo: AsnConvert.parse(spkiOf(publicKey), asn.SubjectPublicKeyInfo),
    extensions: new asn.Extensions(extensions),
  });
  const signature = sign('sha256', Buffer.from(AsnConvert.serialize(tbsCertificate)), signer);
  const whole = new asn.Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: bytes(signature),
  });
  return new X509Certificate(Buffer.from(AsnConvert.serialize(whole))).toString();
}

function extension(extnID: string, value: object, critical = false): asn.Extension {
  return new asn.Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
}

function keyUsage(flags: number): asn.KeyUsage {
  const usage = new asn.KeyUsage();
  usage.fromNumber(flags);
  return usage;
}

function distinguished(name: string): asn.Name {
  const value = new asn.AttributeValue({ utf8String: name });
  return new asn.Name([
    new asn.RelativeDistinguishedName([new asn.AttributeTypeAndValue({ type: COMMON_NAME, value })]),
  ]);
}

/** 127 random bits, positive and not zero (RFC 5280 section 4.1.2.2). */
function serialNumber(): ArrayBuffer {
  const number = randomBytes(16);
  number[0] = ((number[0] ?? 0) & 0x7f) | 0x40;
  return bytes(number);
}

/** The first method of RFC 5280 section 4.2.1.2. */
function keyIdentifier(key: KeyObject): Buffer {
  const { subjectPublicKey } = AsnConvert.parse(spkiOf(key), asn.SubjectPublicKeyInfo);
  return createHash('sha1').update(Buffer.from(subjectPublicKey)).digest();
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function wholeSeconds(ms: number): Date {
  return new Date(Math.floor(ms / 1_000) * 1_000);
}

function bytes(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer;
}
