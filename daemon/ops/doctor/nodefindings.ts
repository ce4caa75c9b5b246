/** BD302, BD303 and BD4xx: the table that all mappings share, and the agent of the node. Pure. */
import { type Finding, type FindingStatus, finding } from '../../core/diagnosis.ts';
import type { AgentState } from '../../core/state.ts';
import { command } from './command.ts';
import type { NodeFacts, ProcessName } from './facts.ts';

export function tableFindings({ table, nodeSets, addresses }: NodeFacts): readonly Finding[] {
  const listTable = command('nft', 'list', 'table', 'inet', 'berth');
  if (table.kind === 'unseen') {
    const why = `nftables cannot be read: ${table.why}`;
    return [finding('BD302', 'unknown', why, listTable), finding('BD303', 'unknown', why, listTable)];
  }
  if (table.value === undefined) {
    const none = 'there is no table inet berth: no agent has been at work here since the node started';
    return [finding('BD302', 'skipped', none, listTable), finding('BD303', 'fail', none, listTable)];
  }
  const skeleton =
    table.value === ''
      ? finding('BD303', 'ok', 'the table inet berth stands as this version makes it', listTable)
      : finding('BD303', 'fail', `the table inet berth is not as this version makes it: ${table.value}`, listTable);
  if (nodeSets.kind === 'unseen' || addresses.kind === 'unseen') {
    const why = nodeSets.kind === 'unseen' ? nodeSets.why : '';
    return [finding('BD302', 'unknown', `the node's addresses cannot be compared: ${why}`, listTable), skeleton];
  }
  const { missing, wanted } = nodeSets.value;
  const set = missing[0]?.set ?? 'nodeaddr4';
  const show = command('nft', 'list', 'set', 'inet', 'berth', set);
  const list = (lines: readonly { readonly key: string }[]) => lines.map(({ key }) => key).join(', ');
  if (wanted.length === 0) {
    return [
      finding('BD302', 'fail', 'the node has no address at which it could serve host ports', 'ip address'),
      skeleton,
    ];
  }
  const served =
    missing.length === 0
      ? finding('BD302', 'ok', `host ports are served at ${list(wanted)}`, show)
      : finding(
          'BD302',
          'fail',
          `host ports are not served at ${list(missing)}, an address of the node: ${set} lacks it`,
          show,
        );
  return [served, skeleton];
}

export function agentFindings(node: NodeFacts): readonly Finding[] {
  return [answerFinding(node), lockFinding(node), stateFinding(node), socketsFinding(node)];
}

function answerFinding({ answer, socket }: NodeFacts): Finding {
  const show = command('berth', 'list', '--socket', socket);
  switch (answer.kind) {
    case 'answers':
      return finding('BD401', 'ok', `the agent answers at ${socket}`, show);
    case 'silent':
      return finding('BD401', 'fail', answer.why, show);
    case 'unseen':
      return finding('BD401', 'unknown', answer.why, show);
  }
}

function lockFinding({ lock, answer, stateDir }: NodeFacts): Finding {
  const path = `${stateDir}/lock`;
  const found = (status: FindingStatus, says: string) => finding('BD402', status, says, command('cat', path));
  if (lock.kind === 'unseen') return found('unknown', `who holds ${path} cannot be seen: ${lock.why}`);
  const { holder, exists } = lock.value;
  if (holder !== undefined) return found('ok', `${processText(holder)} holds ${path}`);
  if (answer.kind === 'answers') {
    return found('warn', `nobody holds ${path}, though an agent answers: its --state-dir is another one`);
  }
  return found(
    'fail',
    exists ? `nobody holds ${path}: no agent runs` : `there is no ${path}: no agent has run with it`,
  );
}

function stateFinding({ state, stateDir }: NodeFacts): Finding {
  const path = `${stateDir}/state.json`;
  const found = (status: FindingStatus, says: string) => finding('BD403', status, says, command('cat', path));
  if (state.kind === 'unseen') return found('unknown', `${path} cannot be read: ${state.why}`);
  const { state: content, problem } = state.value;
  if (problem !== undefined) return found('fail', `${path}: ${problem}; the next agent puts it aside and rebuilds it`);
  if (content === undefined) return found('ok', `there is no ${path}: no number was given yet`);
  const { grants, resting } = content;
  return found('ok', `${path} can be read (numbers and blocks given: ${grants.length}, at rest: ${resting.length})`);
}

/** More sockets than numbers proves nothing, as the agent has others too; fewer proves that some are not held. */
function socketsFinding({ lock, sockets, state }: NodeFacts): Finding {
  const holder = lock.kind === 'seen' ? lock.value.holder : undefined;
  if (holder === undefined) return finding('BD404', 'skipped', 'no agent is seen that could hold numbers', '');
  const show = command('ls', '-l', `/proc/${holder.pid}/fd`);
  if (sockets.kind === 'unseen') {
    return finding('BD404', 'unknown', `the sockets of ${processText(holder)} cannot be seen: ${sockets.why}`, show);
  }
  const content = state.kind === 'seen' ? state.value.state : undefined;
  const needed = content === undefined ? 0 : heldNumbers(content);
  const says = `${processText(holder)} has ${sockets.value} sockets open; numbers to hold: ${needed}`;
  return finding('BD404', sockets.value < needed ? 'warn' : 'ok', says, show);
}

/** SCTP numbers have no socket. */
function heldNumbers({ grants }: AgentState): number {
  return grants.reduce((sum, { protocol, size }) => sum + (protocol === 'SCTP' ? 0 : size), 0);
}

function processText({ pid, name }: ProcessName): string {
  return `process ${pid}${name === '' ? '' : ` (${name})`}`;
}
