import test from 'ava';
import fc from 'fast-check';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { elementsOnce, mappingKey, plan } from '../../daemon/reconcile/plan.ts';
import type { Element } from '../../rules/element.ts';
import { nodeElements } from '../../rules/elements.ts';
import { byId, cidrs } from '../rules/mappings.ts';
import { mappingFor } from './demands.ts';
import { HOME } from './rig.ts';

const ENVIRONMENT = nodeElements(HOME);
const NOTHING = { remove: [], add: [] };

/** What stands when these mappings are installed. */
function standing(...mappings: readonly Mapping[]): Map<string, Element> {
  return byId([...ENVIRONMENT, ...mappings.flatMap(elementsOnce)]);
}

function announced(...mappings: readonly Mapping[]): Map<string, Mapping> {
  return new Map(mappings.map((mapping) => [mappingKey(mapping), mapping]));
}

const web = mappingFor(1);

test('what is wanted, stands and was announced needs no step', (t) => {
  t.deepEqual(plan([web], ENVIRONMENT, standing(web), announced(web)), {
    unannounce: [],
    change: NOTHING,
    ports: [],
    former: [],
    announce: [],
  });
});

test('a new mapping is added, its port cleaned, and announced last', (t) => {
  const steps = plan([web], ENVIRONMENT, standing(), announced());
  t.deepEqual(steps.change, { remove: [], add: elementsOnce(web) });
  t.deepEqual(steps.ports, [{ protocol: 'TCP', port: 20_001, size: 1 }]);
  t.deepEqual([steps.unannounce, steps.announce, steps.former], [[], [web], []]);
});

test('a mapping that is not wanted any more is un-announced, removed, and its former target named', (t) => {
  const steps = plan([], ENVIRONMENT, standing(web), announced(web));
  t.deepEqual(steps.change, { remove: elementsOnce(web), add: [] });
  t.deepEqual([steps.unannounce, steps.announce], [[web], []]);
  t.like(steps.former[0], { hostPort: 20_001, containerPort: 80, podIPs: ['10.0.0.1'] });
  t.deepEqual(steps.ports, [{ protocol: 'TCP', port: 20_001, size: 1 }]);
});

test('a mapping in another form is un-announced, moved in one change, and announced again', (t) => {
  const moved = { ...web, podIPs: ['10.0.0.99'] };
  const steps = plan([moved], ENVIRONMENT, standing(web), announced(web));
  t.deepEqual([steps.unannounce, steps.announce], [[web], [moved]]);
  t.deepEqual(steps.change.remove, elementsOnce(web));
  t.deepEqual(steps.change.add, elementsOnce(moved));
});

test('an equal mapping that is another object is the same mapping', (t) => {
  const steps = plan([{ ...web }], ENVIRONMENT, standing(web), announced(web));
  t.deepEqual([steps.unannounce, steps.announce, steps.change], [[], [], NOTHING]);
});

test('a rule that is missing is put back without un-announcing: the number is still the pod’s', (t) => {
  const steps = plan([web], ENVIRONMENT, standing(), announced(web));
  t.deepEqual([steps.unannounce, steps.announce], [[], []]);
  t.deepEqual(steps.change.add, elementsOnce(web));
  t.deepEqual(steps.ports, [{ protocol: 'TCP', port: 20_001, size: 1 }]);
});

test('a mapping that stands already and was not announced has its flows looked at before it is', (t) => {
  const steps = plan([web], ENVIRONMENT, standing(web), announced());
  t.deepEqual(steps.change, NOTHING);
  t.deepEqual(steps.announce, [web]);
  t.deepEqual(steps.ports, [{ protocol: 'TCP', port: 20_001, size: 1 }]);
});

test('a new address of the node makes the flows of every port suspect', (t) => {
  const steps = plan([web], ENVIRONMENT, byId(elementsOnce(web)), announced(web));
  t.is(steps.ports, 'all');
  t.deepEqual(plan([], [], standing(), announced()).ports, [], 'one that is gone does not');
});

test('an element of somebody else is removed; what is not of Berth’s form names no former target', (t) => {
  const foreign: Element = { set: 'any4', key: 'tcp . 22', value: '10.6.6.6 . 22', comment: 'by hand' };
  const steps = plan([web], ENVIRONMENT, byId([...standing(web).values(), foreign]), announced(web));
  t.deepEqual(steps.change, { remove: [foreign], add: [] });
  t.deepEqual([steps.former, steps.ports], [[], []]);
});

test('a block is one entry among the ports', (t) => {
  const block = mappingFor(1, { hostPort: 20_100, size: 50, containerPort: 20_100, protocol: 'UDP' });
  const steps = plan([block], ENVIRONMENT, standing(), announced());
  t.deepEqual(steps.ports, [{ protocol: 'UDP', port: 20_100, size: 50 }]);
});

const anyMapping = fc
  .record({
    index: fc.integer({ min: 1, max: 6 }),
    podIPs: fc.constantFrom(['10.0.0.1'], ['10.0.0.2', 'fd00::2'], ['fd00::3']),
    protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
    limited: fc.boolean(),
  })
  .map(({ index, limited, ...rest }) =>
    mappingFor(index, { ...rest, ...(limited ? { allowFrom: cidrs('203.0.113.0/24') } : {}) }),
  );
const anyMappings = fc.uniqueArray(anyMapping, { selector: ({ hostPort, protocol }) => `${protocol}/${hostPort}` });

test('carried out, a plan leaves exactly what is wanted, and a second plan has nothing to do', (t) => {
  fc.assert(
    fc.property(anyMappings, anyMappings, anyMappings, (wanted, present, told) => {
      const installed = standing(...present);
      const live = announced(...told);
      const steps = plan(wanted, ENVIRONMENT, installed, live);
      for (const [id] of byId(steps.change.remove)) installed.delete(id);
      for (const [id, element] of byId(steps.change.add)) installed.set(id, element);
      for (const mapping of steps.unannounce) live.delete(mappingKey(mapping));
      for (const mapping of steps.announce) live.set(mappingKey(mapping), mapping);
      t.deepEqual([...installed.keys()].sort(), [...standing(...wanted).keys()].sort());
      const again = plan(wanted, ENVIRONMENT, installed, live);
      t.deepEqual([again.change, again.unannounce, again.announce, again.ports], [NOTHING, [], [], []]);
    }),
    { numRuns: 200 },
  );
});
