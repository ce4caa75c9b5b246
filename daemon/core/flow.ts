/**
 * A tracked connection as far as Berth needs it, and the question whether it disagrees with the mappings. NAT is decided
 * by the first packet of a connection only (nf_nat), so that a connection made before a change goes on as it was made.
 */
import { containsAddress } from './address.ts';
import type { Mapping, Protocol } from './vocabulary.ts';

export interface Flow {
  readonly protocol: Protocol;
  /** Source of the original direction, canonical text. */
  readonly source: string;
  readonly sourcePort: number;
  /** Destination of the original direction: the address and port that the client meant. */
  readonly destination: string;
  readonly port: number;
  /** Source of the reply direction: where the flow was sent to. Equal to destination and port when not translated. */
  readonly replySource: string;
  readonly replyPort: number;
}

/** A place in a pod to which a flow of a mapping that has ended was sent. */
export interface FormerTarget {
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly size: number;
  readonly containerPort: number;
  /** The node's address that alone was meant; absent: any address. */
  readonly hostIP?: string;
  /** Absent after a crash, when the addresses are no longer known. */
  readonly podIPs?: readonly string[];
}

/** What the flows are held against. */
export interface FlowTruth {
  /** The mapping that is live for this destination, undefined when there is none. */
  mapping(protocol: Protocol, destination: string, port: number): Mapping | undefined;
  /** Its rule stands in the kernel. A wanted mapping whose rule was refused keeps the flows that it has, and gets no others. */
  stands(mapping: Mapping): boolean;
  /** Pods that had this destination before, live, and keep the flows that they have: their mappings as they were. */
  draining(protocol: Protocol, destination: string, port: number): readonly Mapping[];
  /** Mappings that have ended and whose flows were not cleaned yet. */
  readonly former: readonly FormerTarget[];
  /** An address of the node, 127.0.0.0/8 included. */
  isNodeAddress(address: string): boolean;
}

/**
 * True when the flow's original destination is an address of the node and it is (a) translated to a pod that neither owns
 * the mapping nor is still draining it, (b) translated although its source is not allowed, or (c) not translated although it would be now.
 * Everything else, above all a flow to another host and a flow of another program, is none of Berth's business (I4).
 */
export function disagrees(flow: Flow, truth: FlowTruth): boolean {
  if (!truth.isNodeAddress(flow.destination)) return false;
  const translated = flow.replySource !== flow.destination || flow.replyPort !== flow.port;
  const mapping = truth.mapping(flow.protocol, flow.destination, flow.port);
  const drains = truth.draining(flow.protocol, flow.destination, flow.port);
  if (translated && drains.some((one) => leadsTo(flow, one) && isAllowed(flow, one, truth))) return false;
  if (mapping === undefined) return translated && truth.former.some((former) => wasTarget(flow, former));
  const allowed = isAllowed(flow, mapping, truth);
  if (!translated) return allowed && truth.stands(mapping);
  return !leadsTo(flow, mapping) || !allowed;
}

function leadsTo(flow: Flow, { podIPs, containerPort, hostPort }: Mapping): boolean {
  return podIPs.includes(flow.replySource) && flow.replyPort === containerPort + flow.port - hostPort;
}

function wasTarget(flow: Flow, former: FormerTarget): boolean {
  const offset = flow.port - former.hostPort;
  return (
    flow.protocol === former.protocol &&
    (former.hostIP === undefined || former.hostIP === flow.destination) &&
    offset >= 0 &&
    offset < former.size &&
    flow.replyPort === former.containerPort + offset &&
    (former.podIPs === undefined || former.podIPs.includes(flow.replySource))
  );
}

/** The node itself is always allowed: its own packets never pass the gate of the prerouting hook. */
function isAllowed(flow: Flow, mapping: Mapping, truth: FlowTruth): boolean {
  if (mapping.allowFrom === undefined || truth.isNodeAddress(flow.source)) return true;
  return mapping.allowFrom.some((cidr) => containsAddress(cidr, flow.source));
}
