import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, utimesSync } from 'node:fs';
import test from 'ava';
import { toMessage, toTimestamp, toView } from '../../daemon/rpc/convert.ts';
import {
  berth,
  defineService,
  grpc,
  HealthService,
  MappingService,
  NodeService,
  ReportService,
} from '../../proto/service.ts';
import { mapping } from './fixture.ts';

const GENERATED = 'proto/generated/berth.js';

function generate(): string {
  return execFileSync('sh', ['proto/generate.sh'], { encoding: 'utf8' });
}

test.serial('generating again does nothing while nothing changed, and gives the same bytes when forced', (t) => {
  generate();
  const before = readFileSync(GENERATED);
  const { mtimeMs } = statSync(GENERATED);
  generate();
  t.is(statSync(GENERATED).mtimeMs, mtimeMs);
  utimesSync(GENERATED, 0, 0);
  generate();
  t.true(statSync(GENERATED).mtimeMs > 0);
  t.deepEqual(readFileSync(GENERATED), before);
});

test('64-bit integers are numbers, also when they are zero or absent', (t) => {
  for (const seconds of [0, 1, -1, 1_767_323_045, 253_402_300_799]) {
    const bytes = berth.v1.Freshness.encode({ lastHeard: { seconds, nanos: 1 } }).finish();
    t.is(berth.v1.Freshness.decode(bytes).lastHeard?.seconds, seconds);
  }
});

test('times keep their milliseconds, before 1970 too', (t) => {
  for (const ms of [0, 1, 999, 1_767_323_045_678, -1, -1_500]) {
    const { seconds, nanos } = toTimestamp(ms);
    t.true(Number.isInteger(seconds) && nanos >= 0 && nanos < 1e9);
    t.is(toView({ since: { seconds, nanos } }).since, ms);
  }
});

test('a mapping survives the wire with every field', (t) => {
  const full = mapping('p', { hostIP: '2001:db8::1', size: 256, allowFrom: [{ family: 4, text: '10.0.0.0/8' }] });
  const message = toMessage({ node: 'n', mapping: full, since: 5 }, []);
  const bytes = berth.v1.Mapping.encode(message).finish();
  t.deepEqual(toView(berth.v1.Mapping.decode(bytes)), toView(message));
});

test('what a newer server may send is shown, not dropped: an unknown protocol', (t) => {
  t.is(toView({ protocol: 9 as berth.v1.Protocol }).protocol, 'UNKNOWN-9');
});

test('the paths of the methods are the public ones', (t) => {
  const methods = [MappingService, NodeService, ReportService, HealthService].flatMap((service) =>
    Object.values(service),
  );
  t.deepEqual(
    methods.map(({ path, requestStream, responseStream }) => [path, requestStream, responseStream]),
    [
      ['/berth.v1.MappingService/Get', false, false],
      ['/berth.v1.MappingService/List', false, false],
      ['/berth.v1.MappingService/Watch', false, true],
      ['/berth.v1.NodeService/ListNodes', false, false],
      ['/berth.v1.ReportService/Report', true, true],
      ['/grpc.health.v1.Health/Check', false, false],
      ['/grpc.health.v1.Health/Watch', false, true],
    ],
  );
});

test('a service whose messages are of another package is refused when it is defined', (t) => {
  t.throws(() => defineService(grpc.health.v1, berth.v1.MappingService), {
    instanceOf: TypeError,
    message: /MappingService\/Get: GetRequest or GetResponse is of another package/,
  });
});

/** Field numbers are for ever: a change here breaks clients that exist. */
test('the bytes of a mapping are these', (t) => {
  const message = toMessage({ node: 'n', mapping: mapping('p', { allowFrom: [] }), since: 1_000 }, ['192.0.2.1']);
  t.is(
    Buffer.from(berth.v1.Mapping.encode(message).finish()).toString('hex'),
    [
      ['0a04', '73686f70'], // namespace
      ['1201', '70'], // pod
      ['1a08', '7569642d6f662d70'], // pod_uid
      ['2203', '776562'], // name
      ['2801'], // protocol
      ['30a09c01'], // host_port
      ['38a09c01'], // end_port
      ['40903f'], // container_port
      ['5201', '6e'], // node
      ['5a09', '3139322e302e322e31'], // node_addresses
      ['6208', '31302e302e302e35'], // pod_ips
      ['6a07', '64656661756c74'], // pool
      ['7200'], // allow_from, present and empty
      ['7a02', '0801'], // since
    ]
      .flat()
      .join(''),
  );
});
