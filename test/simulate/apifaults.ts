/** What goes wrong with a request to the API server, by what is the matter at the moment, and by chance. */
import type { Fault as WireFault } from '../../daemon/kube/api/apiserver.double.ts';
import type { Asked } from '../../daemon/kube/api/resources.double.ts';
import type { Fault } from './faults.ts';
import type { Ground } from './ground.ts';
import { reached } from './stage.ts';

type Kind = 'list' | 'watch' | 'get' | 'patch' | 'status' | 'event';

const CHANCE: Readonly<Record<Kind, number>> = {
  list: 0.08,
  watch: 0.08,
  get: 0.06,
  patch: 0.1,
  status: 0.1,
  event: 0.08,
};

const answered = (code: number, more: Partial<Extract<WireFault, { kind: 'status' }>> = {}): WireFault => ({
  kind: 'status',
  code,
  ...more,
});

const ANY: readonly (readonly [number, WireFault])[] = [
  [2, answered(500, { reason: 'InternalError' })],
  [1, answered(503, { reason: 'ServiceUnavailable' })],
  [2, answered(429, { reason: 'TooManyRequests', retryAfter: 3 })],
  [1, { kind: 'refuseConnection' }],
  [0.5, { kind: 'silence' }],
  [1, { kind: 'text', text: '<html>502 Bad Gateway</html>' }],
  [1, { kind: 'text', text: '{"kind":"Pod', cut: true }],
];

export function kindOf({ method, path, query }: Asked): Kind {
  if (query.watch === 'true') return 'watch';
  if (path === '/api/v1/pods') return 'list';
  if (path.includes('/events')) return 'event';
  if (method === 'GET') return 'get';
  return path.endsWith('/status') ? 'status' : 'patch';
}

export function faultOf(stage: Ground, asked: Asked): WireFault | undefined {
  const { random, weather } = stage;
  const kind = kindOf(asked);
  const found = standingFault(stage, kind, asked);
  if (found !== undefined || !weather.rough || !random.chance(CHANCE[kind])) return found;
  const writes = kind === 'patch' || kind === 'status' || kind === 'event';
  const fault = random.weighted<WireFault>([
    ...ANY,
    ...(writes ? ([[3, { kind: 'replyLost' }]] as const) : []),
    ...(kind === 'patch' || kind === 'status' ? ([[2, answered(409, { reason: 'Conflict' })]] as const) : []),
    ...(kind === 'watch' ? ([[2, answered(410, { reason: 'Expired' })]] as const) : []),
  ]);
  reached(stage, nameOf(kind, fault));
  return fault;
}

/** What the weather is. */
function standingFault(stage: Ground, kind: Kind, { body }: Asked): WireFault | undefined {
  const { weather, time, random } = stage;
  const is = (until: number) => time.now < until;
  const met = (fault: Fault, what: WireFault): WireFault => {
    reached(stage, fault);
    return what;
  };
  if (is(weather.apiDownUntil))
    return met('API server away', random.chance(0.9) ? { kind: 'refuseConnection' } : { kind: 'silence' });
  if (is(weather.tokenRefusedUntil)) return met('token refused', answered(401, { reason: 'Unauthorized' }));
  if (kind === 'get' && is(weather.getsDownUntil)) return met('get error', answered(500));
  if (kind === 'watch' && is(weather.watchesDownUntil)) return met('watch refused', answered(503));
  const patches = kind === 'patch' || kind === 'status';
  if (patches && is(weather.patchesForbiddenUntil))
    return met('patch forbidden', answered(403, { reason: 'Forbidden' }));
  if (kind === 'event' && is(weather.eventsForbiddenUntil))
    return met('Event forbidden', answered(403, { reason: 'Forbidden' }));
  const uid = body.metadata?.uid;
  if (patches && uid !== undefined && weather.unpatchable.has(uid))
    return met('patch refused as invalid', answered(422, { reason: 'Invalid' }));
  if (patches && is(weather.writesLostUntil)) return met('5xx on a patch', answered(500));
  return undefined;
}

function nameOf(kind: Kind, fault: WireFault): Fault {
  if (kind === 'list') return 'list error';
  if (kind === 'get') return 'get error';
  if (kind === 'watch') return fault.kind === 'status' && fault.code === 410 ? 'revision expired' : 'watch refused';
  if (kind === 'event') return 'Event not written';
  if (fault.kind === 'replyLost') return 'patch applied, its reply lost';
  if (fault.kind !== 'status') return 'patch not answered';
  if (fault.code === 409) return '409 on a patch';
  return fault.code === 429 ? '429 on a patch' : '5xx on a patch';
}
