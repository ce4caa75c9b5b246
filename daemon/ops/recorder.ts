/**
 * What happens to the agent's events: a line of the log for each change of state, with what repeats itself bounded, and
 * one recorder that tells several. A recorder must never throw into the loop, nor wait.
 */
import type { Mapping } from '../core/vocabulary.ts';
import type { AgentEvent, Clock, Recorder } from '../reconcile/ports.ts';
import type { Log, LogFields } from './log.ts';
import { Repetition } from './repetition.ts';

/** Tells every recorder; one that throws keeps no other, and not the loop, from going on. */
export function fanOut(recorders: readonly Recorder[]): Recorder {
  return {
    record(event) {
      for (const recorder of recorders) {
        try {
          recorder.record(event);
        } catch {
          // There is nobody left to tell: this is how things are told.
        }
      }
    },
  };
}

/** Writes events to the log. `mapped` and `released` are the audit trail: one line for each mapping set up and taken down, however many. */
export class LogRecorder implements Recorder {
  readonly #log: Log;
  readonly #repetition: Repetition;

  constructor(log: Log, clock: Pick<Clock, 'monotonic'>) {
    this.#log = log;
    this.#repetition = new Repetition(clock);
  }

  record(event: AgentEvent): void {
    switch (event.kind) {
      case 'mapped': {
        // Whoever set up what was adopted has logged it; an upgrade of all agents would log it all anew.
        const level = event.adopted ? 'debug' : 'info';
        if (!this.#log.isLevelEnabled(level)) return;
        this.#log[level]({
          event: 'mapped',
          ...mappingFields(event.mapping),
          adopted: event.adopted,
          ...ms('sinceSeenMs', event.sinceSeenMs),
        });
        return;
      }
      case 'adopted':
        this.#log.info({ event: 'adopted', mappings: event.mappings });
        return;
      case 'released':
        this.#log.info({
          event: 'released',
          ...mappingFields(event.mapping),
          ...(event.givenAt === undefined ? {} : { givenAt: new Date(event.givenAt).toISOString() }),
          ...ms('liveMs', event.liveMs),
        });
        return;
      case 'pass':
        this.#log.debug({ event: 'pass', full: event.full, ...ms('ms', event.ms) });
        return;
      case 'applied':
        this.#log.debug({ event: 'applied', added: event.added, removed: event.removed, ...ms('ms', event.ms) });
        return;
      case 'flows':
        this.#log.debug({ event: 'flows', deleted: event.deleted, ...ms('ms', event.ms) });
        return;
      case 'solved': {
        const { namespace, name, uid } = event.pod;
        if (this.#repetition.settle('problem', uid)) this.#log.info({ event: 'solved', namespace, pod: name, uid });
        return;
      }
      case 'recovered': {
        const { operation } = event;
        if (this.#repetition.settle('failure', operation)) this.#log.info({ event: 'recovered', operation });
        return;
      }
      default:
        this.#trouble(event);
    }
  }

  #trouble(event: Trouble): void {
    const { subject, text, level, fields } = describe(event);
    const admitted = this.#repetition.admit(event.kind, subject, text);
    if (admitted === undefined) return;
    const { count, withheld } = admitted;
    this.#log[level]({
      event: event.kind,
      ...fields,
      ...(count > 1 ? { count } : {}),
      ...(withheld > 0 ? { withheld } : {}),
    });
  }
}

type Trouble = Extract<AgentEvent, { kind: 'problem' | 'healed' | 'conflict' | 'failure' | 'violation' }>;

interface Description {
  /** What is in trouble, and what the trouble is: both the same means that it is the same again. */
  readonly subject: string;
  readonly text: string;
  readonly level: 'warn' | 'error';
  readonly fields: Omit<LogFields, 'event'>;
}

function describe(event: Trouble): Description {
  switch (event.kind) {
    case 'problem': {
      const { namespace, name, uid } = event.pod;
      const { reason, message } = event.problem;
      return {
        subject: uid,
        text: `${reason} ${message}`,
        level: 'warn',
        fields: { namespace, pod: name, uid, reason, message },
      };
    }
    case 'healed': {
      const { what, added, removed } = event;
      return { subject: what, text: '', level: 'warn', fields: { what, added, removed } };
    }
    case 'conflict': {
      const { namespace, name, uid } = event.pod;
      const { protocol, port, hostIP } = event.reservation;
      return {
        subject: uid,
        text: `${protocol} ${port} ${hostIP ?? ''}`,
        level: 'warn',
        fields: { namespace, pod: name, uid, protocol, hostPort: port, ...(hostIP === undefined ? {} : { hostIP }) },
      };
    }
    case 'failure': {
      const { operation, error } = event;
      return { subject: operation, text: String(error), level: 'error', fields: { operation, error } };
    }
    case 'violation': {
      const { invariant, detail } = event;
      return { subject: invariant, text: detail, level: 'error', fields: { invariant, detail } };
    }
  }
}

function mappingFields(mapping: Mapping): Readonly<Record<string, unknown>> {
  const { pod, name, protocol, hostPort, size, hostIP, containerPort, podIPs, pool, allowFrom } = mapping;
  return {
    namespace: pod.namespace,
    pod: pod.name,
    uid: pod.uid,
    port: name,
    protocol,
    hostPort,
    ...(size > 1 ? { size } : {}),
    ...(hostIP === undefined ? {} : { hostIP }),
    containerPort,
    podIPs,
    pool,
    ...(allowFrom === undefined ? {} : { allowFrom: allowFrom.map(({ text }) => text) }),
  };
}

/** A duration to a microsecond, left out when it is not known. */
function ms(key: string, value: number | undefined): Readonly<Record<string, number>> {
  return value === undefined ? {} : { [key]: Math.round(value * 1_000) / 1_000 };
}
