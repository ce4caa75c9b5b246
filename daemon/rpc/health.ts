/** The standard health service: whether the server as a whole, and each of its services, can be used. */
import { status } from '@grpc/grpc-js';
import { grpc, type Handlers, type HealthService } from '../../proto/service.ts';
import { Refusal } from './refusal.ts';

type HealthWatch = Parameters<Handlers<typeof HealthService>['watch']>[0];

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpc.health.v1.HealthCheckResponse.ServingStatus;
const MAX_WATCHERS = 64;

export class HealthAnswers {
  #serving: boolean;
  /** The empty name is the server as a whole. */
  readonly #services: ReadonlySet<string>;
  /** The protocol keeps the stream of an unknown service open: it could become known. None does here. */
  readonly #watches = new Map<HealthWatch, { readonly known: boolean }>();

  constructor(serving: boolean, services: readonly string[]) {
    this.#serving = serving;
    this.#services = new Set(['', ...services]);
  }

  get serving(): boolean {
    return this.#serving;
  }

  set(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const [watch, { known }] of this.#watches) if (known) watch.write(this.#status());
  }

  /** Ends every watch. */
  stop(): void {
    for (const watch of this.#watches.keys())
      watch.emit('error', new Refusal(status.UNAVAILABLE, 'the server is stopping'));
  }

  readonly handlers: Handlers<typeof HealthService> = {
    check: (call, reply) => {
      if (this.#services.has(call.request.service ?? '')) reply(null, this.#status());
      else reply(new Refusal(status.NOT_FOUND, 'service: not known to this server'));
    },
    watch: (call) => {
      if (this.#watches.size >= MAX_WATCHERS) {
        call.emit('error', new Refusal(status.RESOURCE_EXHAUSTED, `at most ${MAX_WATCHERS} clients can watch at once`));
        return;
      }
      const known = this.#services.has(call.request.service ?? '');
      this.#watches.set(call, { known });
      call.once('cancelled', () => this.#watches.delete(call));
      call.write(known ? this.#status() : { status: SERVICE_UNKNOWN });
    },
  };

  #status() {
    return { status: this.#serving ? SERVING : NOT_SERVING };
  }
}
