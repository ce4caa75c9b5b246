/** The connections of one agent to the double of the API server: what is sent is judged, and what is told noted in the view. */
import type { ApiServerDouble } from '../../daemon/kube/api/apiserver.double.ts';
import type { Asked, Reply } from '../../daemon/kube/api/resources.double.ts';
import { type Journey, TransportDouble, type TransportDoubleOptions } from '../../daemon/kube/api/transport.double.ts';
import type { ApiPod } from '../../daemon/kube/apipod.ts';
import type { AgentLife } from './agentlife.ts';
import { faultOf, kindOf } from './apifaults.ts';
import type { Ground } from './ground.ts';
import { keyOf, type ObjectShelf } from './objectshelf.ts';
import { note, reached } from './stage.ts';
import type { View } from './view.ts';

const POD = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)/;

export interface WireOptions {
  readonly server: TransportDoubleOptions['server'];
  readonly decode: (object: object) => ApiPod;
  readonly view: View;
  /** How long a line of a watch takes, in ms. */
  readonly lag?: () => number;
}

export function wireOf(
  life: AgentLife<Ground>,
  { server, decode, view, lag = () => lagOf(life) }: WireOptions,
): TransportDouble {
  const { time } = life.stage;
  return new TransportDouble({
    server,
    journey: (asked) => journeyOf(life, asked),
    lag,
    arrive: (ms, run) => void time.after(ms, run),
    deliver: (ms, run) => life.after(ms, run),
    onLine: (line) => hear(life, decode, view, line as { readonly type: string; readonly object: object }),
  });
}

/** As a rule. */
export function lagOf({ stage: { random } }: AgentLife<Ground>): number {
  return random.chance(0.8) ? random.between(0, 5) : random.between(5, 60);
}

/** The double of the one-agent runs, as this agent asks it. */
export function serverOf(life: AgentLife, { server }: ObjectShelf): WireOptions['server'] {
  return {
    answer: (asked) => answer(life, server, asked),
    watch: (path, query, say) => server.watch(path, query, say),
  };
}

function journeyOf(life: AgentLife<Ground>, asked: Asked): Journey {
  const { stage } = life;
  const { random } = stage;
  note(stage, `${kindOf(asked)} ${asked.path} ${JSON.stringify(asked.body)}`);
  if (asked.method !== 'GET') stage.watcher.writing(life);
  const fault = faultOf(stage, asked);
  const slow = asked.method === 'GET' && stage.weather.rough && random.chance(0.02);
  if (slow) reached(stage, 'get slow');
  const back = slow ? random.between(2_000, 14_000) : random.between(0.2, 15);
  return { there: random.between(0.3, 15), back, fault };
}

/** The server does what it is asked, whoever asked lives or not. */
function answer({ stage, alive }: AgentLife, server: ApiServerDouble, asked: Asked): Reply {
  if (asked.method !== 'GET' && !alive) reached(stage, 'write of a dead agent arrives');
  const [, namespace = '', name = ''] = POD.exec(asked.path) ?? [];
  const before = server.store.pods.get(keyOf({ namespace, name }));
  const kind = kindOf(asked);
  const reply = server.answer(asked);
  const cached = kind === 'list' && asked.query.resourceVersion !== undefined;
  if (cached && server.resources.oldList !== undefined && reply.code === 200)
    reached(stage, 'list from a cache that is behind');
  if (reply.code === 504) reached(stage, 'cache is behind the revision that is asked for');
  if ((kind === 'patch' || kind === 'status') && before !== undefined) {
    const { uid } = before.metadata;
    if (reply.code === 200) stage.watcher.patched(uid, asked.body);
    else if (asked.body.metadata.uid !== uid)
      reached(stage, `write to a former life refused by ${server.resources.uidRefusal}`);
    else if (reply.code === 409) reached(stage, 'pod changed under a locked patch');
  }
  note(stage, `${kind} answered ${reply.code}`);
  return reply;
}

function hear(
  { stage }: AgentLife<Ground>,
  decode: WireOptions['decode'],
  view: View,
  { type, object }: { readonly type: string; readonly object: object },
): void {
  if (type === 'BOOKMARK') reached(stage, 'bookmark only');
  else if (type === 'ERROR') reached(stage, 'revision expired');
  else {
    const pod = decode(object);
    note(stage, `${type} ${pod.uid.slice(-3)} ${pod.revision}`);
    if (type === 'DELETED') view.delete(pod.uid);
    else view.set(pod);
  }
}
