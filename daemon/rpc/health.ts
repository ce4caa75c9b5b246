/** The standard health service: whether the server as a whole, and each of its services, can be used. */
import { status } from '@grpc/grpc-js';
import { grpc, type Handlers, type HealthService } from '../../proto/service.ts';
import type { ShareLimits } from '../core/share.ts';
import type { Admitted } from './admission.ts';
import { Places } from './places.ts';
import { Refusal } from './refusal.ts';

type HealthWatch = Parameters<Handlers<typeof HealthService>['watch']>[0];

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpc.health.v1.HealthCheckResponse.ServingStatus;
/** Of one: of an address, as callers need not be known. */
const WATCHERS: ShareLimits = { ofAll: 64, ofOne: 16 };

export class HealthAnswers {
  #serving: boolean;
  /** The empty name is the server as a whole. */
  readonly #services: ReadonlySet<string>;
  /** The protocol keeps the stream of an unknown service open: it could become known. None does here. */
  readonly #watches = new Map<HealthWatch, { readonly known: boolean }>();
  readonly #places = new Places(WATCHERS, {
    ofAll: 'clients can watch at once',
    ofOne: 'watches of one client at once',
  });

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

  /** `watch` throws a Refusal when there is no place. */
  readonly handlers: Handlers<typeof HealthService> & {
    readonly watch: (call: HealthWatch, by?: Pick<Admitted, 'key'>) => void;
  } = {
    check: (call, reply) => {
      if (this.#services.has(call.request.service ?? '')) reply(null, this.#status());
      else reply(new Refusal(status.NOT_FOUND, 'service: not known to this server'));
    },
    watch: (call: HealthWatch, by?: Pick<Admitted, 'key'>) => {
      const leave = this.#places.take(by?.key);
      const known = this.#services.has(call.request.service ?? '');
      this.#watches.set(call, { known });
      const gone = () => {
        leave();
        this.#watches.delete(call);
      };
      call.once('cancelled', gone);
      // It may have gone before.
      if (call.cancelled) gone();
      call.write(known ? this.#status() : { status: SERVICE_UNKNOWN });
    },
  };

  #status() {
    return { status: this.#serving ? SERVING : NOT_SERVING };
  }
}
