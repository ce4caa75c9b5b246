/** Whether a grant is what a request asks for, and the sockets that it needs. Pure. */
import type { Grant } from '../core/state.ts';
import { containerPortOf, type Unit } from '../core/unit.ts';
import type { PortRequest, Protocol, Reservation } from '../core/vocabulary.ts';
import type { Demand } from './demand.ts';

/** Whether a standing grant answers the request: a change of the annotation that needs another number ends it. */
export function fits(grant: Grant, demand: Demand, unit: Unit, request: PortRequest): boolean {
  return (
    grant.size === unit.size &&
    grant.pool === demand.request.pool &&
    grant.claim === demand.claim &&
    (unit.exact === undefined || grant.hostPort === unit.exact) &&
    grant.containerPort === containerPortOf(request, grant.hostPort) &&
    (grant.hostIP === demand.hostIP || demand.blocked?.reason === 'HostIPNotFound')
  );
}

export function reservation(protocol: Protocol, port: number, hostIP: string | undefined): Reservation {
  return hostIP === undefined ? { protocol, port } : { protocol, port, hostIP };
}
