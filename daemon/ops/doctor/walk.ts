/** The whole diagnosis: every hop of the way to a pod, or of a node without a pod, in the order of the way. Pure. */
import { type Finding, finding, inOrder } from '../../core/diagnosis.ts';
import { formatRanges } from '../../core/pool.ts';
import type { Family } from '../../core/vocabulary.ts';
import { command } from './command.ts';
import type { NodeFacts, PodFacts } from './facts.ts';
import { hostFindings } from './hostfindings.ts';
import { agentFindings, tableFindings } from './nodefindings.ts';
import { portFindings } from './portfindings.ts';
import { requestFindings } from './requestfindings.ts';
import { wayFindings } from './wayfindings.ts';

/** Without a pod. */
export function examineNode(node: NodeFacts): readonly Finding[] {
  return inOrder([...tableFindings(node), ...agentFindings(node), ...hostFindings(node.host), ephemeralFinding(node)]);
}

export function examinePod(pod: PodFacts, node: NodeFacts): readonly Finding[] {
  const families = new Set<Family>(pod.ways.map(({ podIP }) => (podIP.includes(':') ? 6 : 4)));
  return inOrder([
    ...requestFindings(pod),
    ...pod.ports.flatMap((port) => portFindings(port, pod, node)),
    ...tableFindings(node),
    ...agentFindings(node),
    ...wayFindings(pod),
    ...hostFindings(node.host, families.size === 0 ? {} : { families }),
    ephemeralFinding(node),
  ]);
}

function ephemeralFinding({ unprotected }: NodeFacts): Finding {
  const code = 'BD608';
  const show = command('sysctl', 'net.ipv4.ip_local_port_range', 'net.ipv4.ip_local_reserved_ports');
  if (unprotected.kind === 'unseen')
    return finding(code, 'unknown', `the ephemeral ports cannot be seen: ${unprotected.why}`, show);
  if (unprotected.value.length === 0)
    return finding(code, 'ok', 'no number of a pool can become an ephemeral port', show);
  const says = `${formatRanges(unprotected.value)} of the pools may be taken as ephemeral ports: add them to net.ipv4.ip_local_reserved_ports`;
  return finding(code, 'warn', says, show);
}
