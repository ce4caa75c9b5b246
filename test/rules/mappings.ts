/** Mappings for the tests of rules/: by default one TCP port of one dual-stack pod. */
import fc from 'fast-check';
import { addressOf, mergeCidrs, parseCidr } from '../../daemon/core/address.ts';
import type { Cidr, Family, Mapping } from '../../daemon/core/vocabulary.ts';
import { type Element, elementId } from '../../rules/element.ts';

export const UID = '0b0e5a2e-93d0-4f0e-8a3c-0d3f3f5b0c11';

export function mapping(fields: Partial<Mapping> = {}): Mapping {
  return {
    pod: { namespace: 'shop', name: 'web-0', uid: UID },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: 20_000,
    size: 1,
    containerPort: 8080,
    podIPs: ['10.244.0.5', 'fd00:244::5'],
    ...fields,
  };
}

export function cidrs(...texts: readonly string[]): Cidr[] {
  return texts.map((text) => {
    const result = parseCidr(text);
    if (result.kind !== 'ok') throw new Error(`${text} is no range`);
    return result.cidr;
  });
}

export function byId(elements: readonly Element[]): Map<string, Element> {
  return new Map(elements.map((element) => [elementId(element), element]));
}

/** `set key : value # comment`, for readable expectations. */
export function line({ set, key, value, comment }: Element): string {
  return `${set} ${key}${value === '' ? '' : ` : ${value}`}${comment === '' ? '' : ` # ${comment}`}`;
}

const address = (family: Family) =>
  fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }).map((bytes) => {
    const text = addressOf(bytes)?.text;
    if (text === undefined) throw new Error('no address');
    return text;
  });

const cidr = fc.tuple(fc.constantFrom<Family>(4, 6), fc.integer({ min: 0, max: 128 })).chain(([family, length]) =>
  address(family).map((text) => {
    const result = parseCidr(`${text}/${Math.min(length, family === 4 ? 32 : 128)}`);
    if (result.kind === 'invalid') throw new Error('no range');
    return result.kind === 'ok' ? result.cidr : result.range;
  }),
);

/** Any mapping that the agent could make. */
export const anyMapping: fc.Arbitrary<Mapping> = fc
  .record({
    uid: fc.uuid(),
    name: fc.stringMatching(/^[a-z][a-z0-9]{0,7}(-[a-z0-9]{1,5})?$/),
    protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
    hostPort: fc.integer({ min: 1, max: 65_000 }),
    size: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 256 })),
    containerPort: fc.integer({ min: 1, max: 65_535 }),
    podIPs: fc
      .constantFrom<readonly Family[]>([4], [6], [4, 6], [6, 4])
      .chain((families) => fc.tuple(...families.map(address))),
    hostIP: fc.option(fc.oneof(address(4), address(6)), { nil: undefined }),
    allowFrom: fc.option(fc.array(cidr, { maxLength: 5 }).map(mergeCidrs), { nil: undefined }),
  })
  .map(({ uid, size, containerPort, hostPort, hostIP, allowFrom, ...rest }) =>
    mapping({
      ...rest,
      pod: { namespace: 'shop', name: 'web-0', uid },
      hostPort,
      size,
      containerPort: size > 1 ? hostPort : containerPort,
      ...(hostIP === undefined ? {} : { hostIP }),
      ...(allowFrom === undefined ? {} : { allowFrom }),
    }),
  );
