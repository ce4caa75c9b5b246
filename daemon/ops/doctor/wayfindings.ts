/** BD502 and BD503: from the node to the pod. Pure. */
import { type Finding, finding } from '../../core/diagnosis.ts';
import { quoted } from '../../core/text.ts';
import { command } from './command.ts';
import type { PodFacts, WayFacts } from './facts.ts';

export function wayFindings({ ways }: PodFacts): readonly Finding[] {
  if (ways.length === 0) {
    const why = 'the pod has no address yet';
    return [finding('BD502', 'skipped', why, ''), finding('BD503', 'skipped', why, '')];
  }
  return ways.flatMap((way) => [routeFinding(way), ...loopbackFinding(way)]);
}

function routeFinding({ podIP, way }: WayFacts): Finding {
  const show = command('ip', 'route', 'get', podIP);
  if (way.kind === 'unseen')
    return finding('BD502', 'unknown', `the route to ${podIP} cannot be seen: ${way.why}`, show);
  if (way.value === undefined) {
    return finding('BD502', 'fail', `no route of the node leads to ${podIP}, or only one over another router`, show);
  }
  const device = quoted(way.value.device);
  if (way.value.leadsToPods) return finding('BD502', 'ok', `${podIP} is reached through ${device}`, show);
  const says = `${podIP} is reached through ${device}, which is no device behind which pods are: is the pod on this node?`;
  return finding('BD502', 'warn', says, show);
}

/** 127.0.0.1 only; `::1` cannot work in nftables. */
function loopbackFinding({ podIP, way }: WayFacts): readonly Finding[] {
  if (podIP.includes(':') || way.kind === 'unseen' || way.value === undefined || !way.value.leadsToPods) return [];
  const { device, routeLocalnet } = way.value;
  const setting = `net/ipv4/conf/${device}/route_localnet`;
  if (routeLocalnet) {
    return [
      finding('BD503', 'ok', '127.0.0.1 of the node leads to the pod too (route_localnet)', command('sysctl', setting)),
    ];
  }
  const says = `127.0.0.1 of the node does not lead to the pod: route_localnet is off on ${quoted(device)}`;
  return [finding('BD503', 'warn', says, command('sysctl', '-w', `${setting}=1`))];
}
