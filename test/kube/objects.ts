/** Pod objects as a manifest or the API server has them, for the tests of the adapters: valid but for what a test says. */

export interface ObjectSpec {
  readonly name?: unknown;
  readonly namespace?: unknown;
  readonly uid?: unknown;
  readonly annotations?: unknown;
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: unknown;
}

export function podObject(more: ObjectSpec = {}) {
  const { name = 'web', namespace = 'shop', uid = 'uid-1', annotations = { 'berth.dev/ports': '' } } = more;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid, annotations, ...more.metadata },
    spec: { containers: [{ name: 'app', ports: [{ name: 'web', containerPort: 80 }] }], ...more.spec },
    status: more.status ?? { phase: 'Running', podIPs: [{ ip: '10.0.0.7' }] },
  };
}

/** One of the first `count` pods that differ in name, uid and address. */
export function numbered(index: number, more: ObjectSpec = {}) {
  const ip = `10.1.${index >> 8}.${index & 255}`;
  return podObject({
    name: `pod-${index}`,
    uid: `uid-${index}`,
    status: { phase: 'Running', podIPs: [{ ip }] },
    ...more,
  });
}
