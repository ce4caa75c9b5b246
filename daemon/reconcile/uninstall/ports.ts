/**
 * What uninstalling needs of the world beside `Flows`, as interfaces. Whatever is asked to look must change nothing. Each has its
 * adapter where the agent's adapter of the same world is.
 */
import type { Element } from '../../../rules/element.ts';
import type { Flow } from '../../core/flow.ts';
import type { ChangedSetting } from '../../core/state.ts';
import type { PodRef } from '../../core/vocabulary.ts';
import type { FlowPorts, Flows } from '../ports.ts';

/** A pod that something of Berth's stands on. */
export interface AnnouncedPod extends PodRef {
  /** Empty where they are not known. */
  readonly podIPs: readonly string[];
}

/** What Berth told the pods of the node. */
export interface Announcements {
  /** `granted`: the uids that the state file knows. Rejects when the pods cannot be read. */
  find(granted: ReadonlySet<string>): Promise<readonly AnnouncedPod[]>;
  /** Takes it back from these pods, which `find` gave. Resolves, when no more can be done, to what went wrong. */
  withdraw(pods: readonly AnnouncedPod[]): Promise<readonly string[]>;
}

/** The table `inet berth`. */
export interface TableRemoval {
  /** Its elements; undefined when there is no table. Rejects when that cannot be known. */
  look(): Promise<readonly Element[] | undefined>;
  /** Removing what is not there is no error. Rejects with NFT_REFUSED or NFT_UNAVAILABLE. */
  remove(): Promise<void>;
}

/** The connections that the kernel tracks. */
export interface FlowRemoval extends Flows {
  /** How many flows `purge` would delete. */
  count(ports: readonly FlowPorts[], disagrees: (flow: Flow) => boolean): Promise<number>;
}

/** `route_localnet` of devices. Throws NETLINK_FAILED. */
export interface LoopbackSwitches {
  /** Undefined when there is no such device. */
  loopbackOpen(device: string): boolean | undefined;
  closeLoopback(device: string): void;
}

/** The list of reserved ports as it is and as it is to be. */
export interface ListChange {
  readonly from: string;
  readonly to: string;
}

export interface ReservedPorts {
  /** Takes what Berth added out of the list. `dryRun`: only says how it would be. Throws when it cannot be read or written. */
  restore(changed: ChangedSetting, dryRun: boolean): ListChange;
}

/** A file that Berth made on the node. */
export interface OwnFile {
  readonly path: string;
  /** What the file remembers: gone, another run could not do what this one left. */
  readonly memory: boolean;
}

export interface OwnFiles {
  /** Those that are there, in the order in which they are to be removed. Throws when that cannot be known. */
  find(): readonly OwnFile[];
  /** Throws when it cannot be removed. */
  remove(file: OwnFile): void;
}
