/**
 * Puts back the kernel settings that the state file says Berth changed. `hairpin_mode` is none of them: it stands on the one
 * bridge port behind which a pod is, goes with the pod, affects no other, and CNI plugins set it too (`hairpinMode`), so that
 * nobody could tell any more whose it is.
 */
import { messageOf } from '../../core/errors.ts';
import { type ChangedSetting, deviceOfSetting } from '../../core/state.ts';
import type { LoopbackSwitches, ReservedPorts } from './ports.ts';
import { done, type Leftover, type Step, shortList, verb } from './steps.ts';

/**
 * `route_localnet` of devices that are still there. Before the rules go: without the table's chain `guard` it would let
 * neighbours reach the loopback services of the node (CVE-2020-8558), be it for an instant only or because a later step fails.
 */
export function devicesStep(settings: readonly ChangedSetting[], switches: LoopbackSwitches): Step {
  const devices = settings
    .filter(({ before }) => before === '0')
    .flatMap(({ setting }) => deviceOfSetting(setting) ?? []);
  return {
    name: 'devices',
    remedy: `set route_localnet back by hand: sysctl -w ${devices.map((one) => `${keyOf(one)}=0`).join(' ')}`,
    async run(dryRun) {
      const closed: string[] = [];
      const left: Leftover[] = [];
      for (const device of devices) {
        try {
          if (switches.loopbackOpen(device) !== true) continue;
          if (!dryRun) switches.closeLoopback(device);
          closed.push(device);
        } catch (error) {
          const remedy = `set it back by hand: sysctl -w ${keyOf(device)}=0`;
          left.push({ what: `route_localnet of ${device}: ${messageOf(error)}`, remedy });
        }
      }
      if (closed.length === 0)
        return { says: left.length === 0 ? 'no device has route_localnet from Berth' : '', left };
      return { says: `${verb(dryRun, 'set', 'set')} route_localnet back to 0 on ${shortList(closed)}`, left };
    },
  };
}

/** A device's name may hold dots: sysctl then wants slashes. */
function keyOf(device: string): string {
  return `net/ipv4/conf/${device}/route_localnet`;
}

/** `setting`: how the record of the list is called. Whatever else stands in the state file was changed by no agent of this version. */
export function portsStep(settings: readonly ChangedSetting[], setting: string, reserved: ReservedPorts): Step {
  const changed = settings.find((one) => one.setting === setting);
  const unknown = settings.filter((one) => one !== changed && deviceOfSetting(one.setting) === undefined);
  return {
    name: 'ports',
    remedy: `set the list back by hand: sysctl -w ${setting}="${changed?.before ?? ''}", and add what others need`,
    async run(dryRun) {
      const left = unknown.map(({ setting: name, before }) => ({
        what: `${name}: this version does not know how to put it back`,
        remedy: `what stood there before is ${JSON.stringify(before)}: set it by hand`,
      }));
      if (changed === undefined) return { ...done('no ports were reserved by Berth'), left };
      const { from, to } = reserved.restore(changed, dryRun);
      if (from === to) return { says: `nothing of Berth stands in ${setting}`, left };
      return { says: `${verb(dryRun, 'set', 'set')} ${setting} from "${from}" to "${to}"`, left };
    },
  };
}
