/**
 * What the state file holds: which pod had which number, and which numbers rest. It is written when a number is promised, so
 * that a promise survives a crash and a reboot. Pure.
 */
import type { Protocol } from './vocabulary.ts';

/** One number, or block, given to one port of one pod. */
export interface Grant {
  readonly uid: string;
  readonly namespace: string;
  readonly pod: string;
  /** The port name. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly pool: string;
  /** The claim, in the pod's namespace, whose number it is. */
  readonly claim?: string;
  readonly hostPort: number;
  readonly size: number;
  readonly hostIP?: string;
  /** The (first) port in the pod: tells after a crash which tracked flows were this grant's. */
  readonly containerPort: number;
  /** When the number was given, in ms since the epoch; absent when that is not known (the state file was lost). */
  readonly givenAt?: number;
}

/** A released number that rests, or that is remembered for the pod of the same name. */
export interface Resting {
  /** Empty, as `pod`, when nobody ever knew which pod it was. */
  readonly namespace: string;
  readonly pod: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly pool: string;
  readonly hostPort: number;
  readonly size: number;
  /** ms since the epoch. */
  readonly releasedAt: number;
}

/** A kernel setting that Berth changed, with what stood there, so that it can be put back. */
export interface ChangedSetting {
  readonly setting: string;
  readonly before: string;
  /** Of a list of port ranges: what Berth added to it, so that what others add stays when that is taken back. */
  readonly added?: string;
}

export interface AgentState {
  readonly grants: readonly Grant[];
  readonly resting: readonly Resting[];
  readonly settings: readonly ChangedSetting[];
  /** The number by which aggregators tell this agent from the earlier ones of the node; absent: none was told. */
  readonly epoch?: number;
}

const LOOPBACK = /^net\.ipv4\.conf\.(.+)\.route_localnet$/;

/** The name under which `route_localnet` of a device is remembered. */
export function loopbackSetting(device: string): string {
  return `net.ipv4.conf.${device}.route_localnet`;
}

/** The device whose `route_localnet` it is; undefined: it is another setting. */
export function deviceOfSetting(setting: string): string | undefined {
  return LOOPBACK.exec(setting)?.[1];
}
