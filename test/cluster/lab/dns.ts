/**
 * The DNS of the cluster: answers for Services as Kubernetes' DNS specification 1.1.0 has it (A records of ClusterIP and headless
 * Services), asking the API server each time; nothing else is known to it, and no answer may be kept.
 *
 * Arguments: ADDRESS KUBECONFIG. `control-plane.sh` starts it.
 */
import { createSocket } from 'node:dgram';
import { isNotFound } from '../../../daemon/kube/api/apierror.ts';
import { type Api, ApiClient } from '../../../daemon/kube/api/client.ts';
import { loadKubeconfig } from '../../../daemon/kube/api/kubeconfig.ts';
import { systemClock } from '../../../daemon/ops/clock.ts';

const SERVICE = /^([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local$/;
const HEADER = 12;
/** Type A, class IN; the name is the question's. */
const RECORD_A_IN = [0xc0, HEADER, 0, 1, 0, 1];
const RESPONSE = 0x8000;
const AUTHORITATIVE = 0x0400;
const RECURSION_DESIRED = 0x0100;
const CODES = { found: 0, malformed: 1, failed: 2, unknown: 3 } as const;

interface Service {
  readonly spec: { readonly clusterIP: string; readonly publishNotReadyAddresses?: boolean };
}

interface Endpoints {
  readonly subsets?: readonly {
    readonly addresses?: readonly { readonly ip: string }[];
    readonly notReadyAddresses?: readonly { readonly ip: string }[];
  }[];
}

/** Undefined when there is no such Service. */
async function addressesOf(api: Api, name: string): Promise<readonly string[] | undefined> {
  const [, service, namespace] = SERVICE.exec(name) ?? [];
  if (service === undefined) return undefined;
  const get = (kind: string) => api.send({ method: 'GET', path: `/api/v1/namespaces/${namespace}/${kind}/${service}` });
  try {
    const { spec } = (await get('services')) as Service;
    if (spec.clusterIP !== 'None') return [spec.clusterIP];
    const { subsets = [] } = (await get('endpoints')) as Endpoints;
    return subsets.flatMap(({ addresses = [], notReadyAddresses = [] }) =>
      [...addresses, ...(spec.publishNotReadyAddresses ? notReadyAddresses : [])].map(({ ip }) => ip),
    );
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** The first question, RFC 1035 §4.1.2. Throws a RangeError when there is none. */
function questionOf(query: Buffer): { readonly name: string; readonly isA: boolean; readonly end: number } {
  const labels: string[] = [];
  let at = HEADER;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), isA: query.readUInt16BE(at + 1) === 1, end: at + 5 };
}

function answerTo(query: Buffer, code: number, end: number, addresses: readonly string[]): Buffer {
  const header = Buffer.alloc(HEADER);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(RESPONSE | AUTHORITATIVE | (query.readUInt16BE(2) & RECURSION_DESIRED) | code, 2);
  header.writeUInt16BE(end > HEADER ? 1 : 0, 4);
  header.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) =>
    Buffer.from([...RECORD_A_IN, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]),
  );
  return Buffer.concat([header, query.subarray(HEADER, end), ...records]);
}

async function answer(api: Api, query: Buffer): Promise<Buffer | undefined> {
  if (query.length < HEADER) return undefined;
  try {
    const { name, isA, end } = questionOf(query);
    const addresses = await addressesOf(api, name).catch(() => null);
    const code = addresses === null ? CODES.failed : addresses === undefined ? CODES.unknown : CODES.found;
    return answerTo(query, code, end, isA ? (addresses ?? []) : []);
  } catch {
    return answerTo(query, CODES.malformed, HEADER, []);
  }
}

const [address, kubeconfig] = process.argv.slice(2);
const credentials = await loadKubeconfig(kubeconfig);
const api = new ApiClient({ credentials, clock: systemClock, userAgent: 'lab-dns' });
const server = createSocket('udp4', async (query, { address, port }) => {
  const reply = await answer(api, query);
  if (reply !== undefined) server.send(reply, port, address);
});
server.bind(53, address);
