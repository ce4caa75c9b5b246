/** BD2xx, BD301, BD405, BD501 and BD701: one port of the pod, from its number to the process that listens. Pure. */
import { type Finding, type FindingStatus, finding, type HopCode } from '../../core/diagnosis.ts';
import type { Flow } from '../../core/flow.ts';
import { formatRanges } from '../../core/pool.ts';
import type { Mapping } from '../../core/vocabulary.ts';
import { command } from './command.ts';
import type { GivenNumber, ListenFacts, NodeFacts, PodFacts, PortFacts } from './facts.ts';
import { showTold } from './podcommands.ts';

export function portFindings(port: PortFacts, pod: PodFacts, node: NodeFacts): readonly Finding[] {
  const { name } = port.request;
  const { number } = port;
  const found = (code: HopCode, status: FindingStatus, says: string, show = '') =>
    finding(code, status, says, show, name);
  const first = numberFinding(port, pod, node);
  if (number === undefined) {
    const rest = ['BD202', 'BD301', 'BD405', 'BD501'] as const;
    return [first, ...rest.map((code) => found(code, 'skipped', 'there is no number yet')), listenFinding(port)];
  }
  const { mapping } = number;
  const ends =
    mapping.podIPs.length === 0
      ? (['BD301', 'BD405', 'BD501'] as const).map((code) => found(code, 'skipped', 'the pod has no address yet'))
      : [ruleFinding(port, number), announcedFinding(port, number, node), flowFinding(port, number)];
  return [first, reservationFinding(port, number, node), ...ends, listenFinding(port)];
}

/** `20001/TCP`, `20100-20199/UDP`, `192.0.2.7:20001/TCP`. */
export function numberText({ hostIP, hostPort, size, protocol }: Mapping): string {
  const address = hostIP === undefined ? '' : hostIP.includes(':') ? `[${hostIP}]:` : `${hostIP}:`;
  return `${address}${formatRanges([{ first: hostPort, last: hostPort + size - 1 }])}/${protocol}`;
}

function numberFinding({ request, number }: PortFacts, pod: PodFacts, node: NodeFacts): Finding {
  const found = (status: FindingStatus, says: string) =>
    finding('BD201', status, says, command('cat', `${node.stateDir}/state.json`), request.name);
  if (number !== undefined) {
    const says = `it has ${numberText(number.mapping)}`;
    if (number.source === 'state file' || node.state.kind === 'unseen') return found('ok', says);
    return found('warn', `${says}, but only by word of the ${number.source}: the state file does not hold it`);
  }
  if (node.state.kind === 'unseen' && node.answer.kind === 'unseen') {
    return found('unknown', `whether it has a number cannot be seen: ${node.state.why}`);
  }
  const why =
    pod.condition?.status === 'False'
      ? `the agent says: ${pod.condition.message}`
      : node.answer.kind === 'answers'
        ? "the agent has not given one: its log, and the pod's Events, say why"
        : 'no agent answers that could give one (BD401)';
  return finding('BD201', 'fail', `it was given no host port: ${why}`, showTold(pod), request.name);
}

function reservationFinding({ holder, request }: PortFacts, { mapping }: GivenNumber, node: NodeFacts): Finding {
  const show = `ss -lntup 'sport = :${mapping.hostPort}'`;
  const found = (status: FindingStatus, says: string) => finding('BD202', status, says, show, request.name);
  const number = numberText(mapping);
  if (holder === undefined)
    return found('skipped', 'SCTP numbers are kept in the pool alone: there is no socket to hold one');
  if (holder.kind === 'unseen') return found('unknown', `who holds ${number} cannot be seen: ${holder.why}`);
  const noAgent = node.lock.kind === 'seen' && node.lock.value.holder === undefined && node.answer.kind !== 'answers';
  switch (holder.value.kind) {
    case 'agent':
      return found('ok', `the agent holds ${number}`);
    case 'bound':
      return noAgent
        ? found('fail', `${number} is held by another process, though no agent runs: end it, or move the pool away`)
        : found('ok', `${number} is held by a socket that does not listen, as the agent's are`);
    case 'process': {
      const { process } = holder.value;
      const who = process === undefined ? 'another process' : `process ${process.pid} (${process.name || 'unknown'})`;
      return found('fail', `${number} is held by ${who}, not by the agent: end it, or move the pool away`);
    }
    case 'nobody':
      return noAgent
        ? found('warn', `nobody holds ${number}, as no agent runs: any process may take it`)
        : found('fail', `nobody holds ${number}: any process may take it; the log of the agent says why it does not`);
  }
}

function ruleFinding({ rule, request }: PortFacts, { mapping }: GivenNumber): Finding {
  const pods = mapping.podIPs.join(' and ');
  const number = numberText(mapping);
  const lost = rule?.kind === 'seen' ? rule.value.missing[0] : undefined;
  const set = lost?.set ?? (rule?.kind === 'seen' ? rule.value.wanted[0]?.set : undefined) ?? 'any4';
  const kind = /^(any|host)/.test(set) ? 'map' : 'set';
  const found = (status: FindingStatus, says: string) =>
    finding('BD301', status, says, command('nft', 'list', kind, 'inet', 'berth', set), request.name);
  if (rule === undefined || rule.kind === 'unseen') {
    return found('unknown', `whether a rule leads to the pod cannot be seen: ${rule?.why ?? 'nothing was read'}`);
  }
  if (rule.value.wanted.length === 0) return found('fail', `no rule can be written for ${number} to ${pods}`);
  if (lost === undefined) return found('ok', `rules lead from ${number} to port ${mapping.containerPort} of ${pods}`);
  const other = rule.value.instead.find(({ set, key }) => set === lost.set && key === lost.key);
  if (kind === 'set') return found('fail', `the rule of ${number} is not complete: ${lost.set} lacks ${lost.key}`);
  if (other === undefined)
    return found('fail', `no rule leads from ${number} to ${pods}: ${lost.set} lacks ${lost.key}`);
  return found(
    'fail',
    `the rule of ${number} leads to ${other.value}, not to ${lost.value}, or belongs to another pod`,
  );
}

function announcedFinding({ request }: PortFacts, { mapping }: GivenNumber, { answer, socket }: NodeFacts): Finding {
  const { pod, name, protocol, hostPort } = mapping;
  const show = command('berth', 'get', `${pod.namespace}/${pod.name}`, '--socket', socket);
  const found = (status: FindingStatus, says: string) => finding('BD405', status, says, show, request.name);
  if (answer.kind !== 'answers') return found('skipped', 'no agent answers (BD401)');
  const told = answer.mappings.find((one) => one.podUID === pod.uid && one.name === name && one.protocol === protocol);
  if (told === undefined) return found('fail', `the agent does not announce ${numberText(mapping)}: it is not live`);
  if (told.hostPort !== hostPort || told.hostIP !== mapping.hostIP) {
    return found('fail', `the agent announces ${told.hostPort}/${told.protocol}, not ${numberText(mapping)}`);
  }
  return found('ok', `the agent announces ${numberText(mapping)}`);
}

function flowFinding({ flows, request }: PortFacts, { mapping }: GivenNumber): Finding {
  const { protocol, hostPort } = mapping;
  const show = command('conntrack', '-L', '-p', protocol.toLowerCase(), '--orig-port-dst', hostPort);
  const found = (status: FindingStatus, says: string) => finding('BD501', status, says, show, request.name);
  if (flows === undefined || flows.kind === 'unseen') {
    return found('skipped', `tracked flows cannot be read: ${flows?.why ?? 'nothing was read'}`);
  }
  const [first] = flows.value;
  if (first === undefined) return found('ok', 'no tracked flow disagrees with the rule');
  const count = flows.value.length === 1 ? '1 tracked flow goes' : `${flows.value.length} tracked flows go`;
  return found('warn', `${count} elsewhere than the rule: ${flowText(first)}; it is the agent that deletes such`);
}

function flowText({ source, sourcePort, replySource, replyPort }: Flow): string {
  return `that of ${source} port ${sourcePort} goes to ${replySource} port ${replyPort}`;
}

function listenFinding({ request, listening }: PortFacts): Finding {
  const { name, protocol } = request;
  const [tried] = listening;
  const show = tried === undefined ? '' : probeOf(tried, protocol);
  const found = (status: FindingStatus, says: string) => finding('BD701', status, says, show, name);
  if (tried === undefined) {
    return found(
      'skipped',
      protocol === 'SCTP' ? 'SCTP cannot be tried from here' : 'there is no address or port to try',
    );
  }
  const bad = listening.filter(({ listening }) => {
    return protocol === 'TCP' ? listening !== 'answers' : listening === 'refuses' || listening === 'is unreachable';
  });
  const [worst] = bad;
  if (worst !== undefined) {
    const what = `${worst.podIP} ${worst.listening} at ${protocol} port ${worst.port}, tried from the node`;
    const remedy =
      worst.listening === 'refuses'
        ? 'nothing in the pod listens there on that address (0.0.0.0 or ::)'
        : 'a network policy, the pod, or the way to it';
    return found(bad.length < listening.length ? 'warn' : 'fail', `${what}: ${remedy}`);
  }
  const where = listening.map(({ podIP, port }) => `${podIP} port ${port}`).join(' and ');
  if (protocol === 'TCP') return found('ok', `the pod answers at ${where}`);
  return found('unknown', `${where} did not refuse; more cannot be known of UDP: a service may answer, or be silent`);
}

function probeOf({ podIP, port }: ListenFacts, protocol: string): string {
  return command('nc', '-v', '-z', '-w', '2', ...(protocol === 'UDP' ? ['-u'] : []), podIP, port);
}
