/**
 * `berth uninstall`: takes everything of Berth off one node. Under the agent's lock, in the order in which the agent takes a mapping
 * down (un-announce, rules, flows), then what the node was given and what the agent remembers. Every step is tried, whatever
 * became of the others, and can be repeated. It must never touch what Berth did not make.
 */
import { existsSync, rmdirSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Adopted } from '../rules/adoption.ts';
import { BerthError } from './core/errors.ts';
import { FlowRemover, TableRemover } from './datapath/removal.ts';
import { probeState } from './ops/doctor/agentprobe.ts';
import { RESERVED_PORTS, unprotect } from './ops/ephemeral.ts';
import { lockStep, takeLock } from './ops/uninstall/nodelock.ts';
import type { UninstallOptions } from './ops/uninstall/options.ts';
import { NodeFiles } from './ops/uninstall/ownfiles.ts';
import { filesStep } from './reconcile/uninstall/files.ts';
import { podsStep } from './reconcile/uninstall/pods.ts';
import type { AnnouncedPod, Announcements, ReservedPorts } from './reconcile/uninstall/ports.ts';
import { flowsStep, rulesStep } from './reconcile/uninstall/rules.ts';
import { devicesStep, portsStep } from './reconcile/uninstall/settings.ts';
import { counted, type Leftover, runSteps, type Step } from './reconcile/uninstall/steps.ts';
import { LazyAnnouncements, LazyNetwork } from './uninstalladapters.ts';

export interface UninstallSurroundings {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

/** Resolves to the exit code. Rejects with LOCK_HELD while an agent runs, with STATE_UNUSABLE when that cannot be known. */
export async function runUninstall(options: UninstallOptions, around: UninstallSurroundings): Promise<number> {
  const { dryRun, stateDir } = options;
  const { stdout, signal } = around;
  const line = (text: string) => stdout.write(`${text}\n`);
  const wasThere = existsSync(stateDir);
  using _lock = dryRun ? undefined : await takeLock(options, around);
  using network = new LazyNetwork(options);
  const pods = new LazyAnnouncements(options, signal);
  try {
    const steps = [...(dryRun ? [lockStep(stateDir)] : []), ...(await stepsOf(options, network, pods))];
    const left = await runSteps(steps, dryRun, line, () => signal.aborted);
    // Taking the lock made it.
    if (!dryRun && !wasThere && left.length === 0) rmdirSync(stateDir);
    line(conclusion(left, dryRun));
    return left.length === 0 ? 0 : 1;
  } finally {
    await pods.close();
  }
}

async function stepsOf(
  options: UninstallOptions,
  network: LazyNetwork,
  announcements: Announcements,
): Promise<readonly Step[]> {
  const { stateDir, socket, pools, procSys } = options;
  const memory = await remembered(stateDir);
  const { grants, settings } = memory;
  let mappings: readonly Adopted[] = [];
  let podIPs: ReadonlyMap<string, readonly string[]> = new Map();
  const keepPods = (pods: readonly AnnouncedPod[]) => {
    podIPs = new Map(pods.map((pod) => [pod.uid, pod.podIPs]));
  };
  const keepMappings = (found: readonly Adopted[]) => {
    mappings = found;
  };
  const reserved: ReservedPorts = {
    restore(changed, dryRun) {
      if (changed.added !== undefined || pools !== undefined) return unprotect(changed, pools ?? [], dryRun, procSys);
      const why = 'the state file does not say which numbers Berth added, and the pools cannot be read';
      throw new BerthError('STATE_UNUSABLE', why);
    },
  };
  const onNode = [
    devicesStep(settings, network),
    rulesStep(new TableRemover(), keepMappings),
    flowsStep(
      new FlowRemover(),
      () => network.isNodeAddress(),
      () => ({ mappings, grants, podIPs }),
    ),
    portsStep(settings, RESERVED_PORTS, reserved),
  ].map(watched);
  const stillNeeded = () => {
    if (memory.problem !== undefined) return `${memory.problem}: what it remembers was not put back`;
    return onNode.some(({ failed }) => failed()) ? 'it remembers what could not be put back' : undefined;
  };
  return [
    podsStep(announcements, new Set(grants.map(({ uid }) => uid)), keepPods),
    ...onNode.map(({ step }) => step),
    filesStep(new NodeFiles(stateDir, socket), stillNeeded),
  ];
}

/** The step, and whether it has left something. */
function watched(step: Step): { readonly step: Step; readonly failed: () => boolean } {
  let failed = true;
  const run = async (dryRun: boolean) => {
    const report = await step.run(dryRun);
    failed = report.left.length > 0;
    return report;
  };
  return { step: { ...step, run }, failed: () => failed };
}

/** What the state file says, as far as it can be understood; looked at only, as a dry run changes nothing. */
async function remembered(stateDir: string) {
  const found = await probeState(stateDir);
  const { state, problem } = found.kind === 'seen' ? found.value : { state: undefined, problem: found.why };
  return { grants: state?.grants ?? [], settings: state?.settings ?? [], problem };
}

function conclusion(left: readonly Leftover[], dryRun: boolean): string {
  if (left.length > 0) return `${counted(left.length, 'thing')} of Berth left on this node, see above`;
  return dryRun ? 'nothing was changed: this was a dry run' : 'nothing of Berth is left on this node';
}
