/**
 * `berth doctor`: finds out why a pod cannot be reached. It looks at the same things as the agent, without the agent if need
 * be, and tells where the way breaks. It never changes anything.
 */
import type { Writable } from 'node:stream';
import { firstBreak } from './core/diagnosis.ts';
import { BerthError } from './core/errors.ts';
import { printable, quoted } from './core/text.ts';
import { type Pod, podLabel } from './core/vocabulary.ts';
import { readHost } from './datapath/host.ts';
import { DirectorySource } from './kube/directory.ts';
import { readStatus, statusPath } from './kube/statusfile.ts';
import { nodeEvidence } from './nodeevidence.ts';
import type { PodOrigin } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import type { PodFacts } from './ops/doctor/facts.ts';
import { nodePassages } from './ops/doctor/hostfindings.ts';
import type { DoctorOptions } from './ops/doctor/options.ts';
import { type Diagnosis, renderDiagnosis } from './ops/doctor/render.ts';
import { examineNode, examinePod } from './ops/doctor/walk.ts';
import { podEvidence, podPassages } from './podevidence.ts';
import { readTarget, type Target } from './rpc/arguments.ts';

/** How the command ends. */
const EXIT = { sound: 0, broken: 1, notFound: 3 } as const;

/** How long the source of pods may take, in ms. */
const PATIENCE_MS = 5_000;

export interface DoctorSurroundings {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

/** Resolves to the exit code. Rejects with USAGE for a wrong command line, and with what keeps the pod from being read. */
export async function runDoctor(options: DoctorOptions, around: DoctorSurroundings): Promise<number> {
  const target = options.positionals.length === 0 ? undefined : readTarget(options.positionals, undefined);
  const diagnosis =
    target === undefined ? await diagnoseNode(options, around) : await diagnosePod(target, options, around);
  if (diagnosis === undefined) return EXIT.notFound;
  around.stdout.write(renderDiagnosis(diagnosis, options.output));
  return firstBreak(diagnosis.findings) === undefined ? EXIT.sound : EXIT.broken;
}

async function diagnoseNode(options: DoctorOptions, { signal }: DoctorSurroundings): Promise<Diagnosis> {
  const { facts, addresses } = await nodeEvidence(options, {}, signal);
  const host = await readHost({ addresses, passages: nodePassages(addresses) });
  return { findings: examineNode({ ...facts, host }) };
}

/** Undefined when there is no such pod. */
async function diagnosePod(
  target: Target,
  options: DoctorOptions,
  { stderr, signal }: DoctorSurroundings,
): Promise<Diagnosis | undefined> {
  if (options.pods === undefined) {
    throw new BerthError('USAGE', 'to examine a pod, say with --pods where the agent reads them; see --help');
  }
  const { namespace, pod: name } = target.question;
  const found = await find(options.pods, options, namespace, name);
  if (found === undefined) {
    const label = quoted(podLabel({ namespace, name }));
    const where =
      options.pods.kind === 'dir' ? `in ${printable(options.pods.path, 256)}` : `on node ${options.nodeName}`;
    stderr.write(`berth: there is no pod ${label} ${where}\n`);
    return undefined;
  }
  const { pod, condition } = found;
  const node = await nodeEvidence(options, { namespace, pod: name }, signal);
  const facts = await podEvidence(pod, target, condition, options, node);
  const passages = podPassages(facts);
  const host = await readHost({
    addresses: node.addresses,
    passages: passages.length > 0 ? passages : nodePassages(node.addresses),
  });
  return { pod: podLabel(pod), findings: examinePod(facts, { ...node.facts, host }) };
}

interface Found {
  readonly pod: Pod;
  readonly condition: PodFacts['condition'];
}

async function find(
  origin: PodOrigin,
  options: DoctorOptions,
  namespace: string,
  name: string,
): Promise<Found | undefined> {
  if (origin.kind === 'kubernetes') {
    const { findInCluster } = await import('./kubernetes.ts');
    return findInCluster({ ...options, reconnectCapMs: options.reconnectCap }, namespace, name);
  }
  const pod = await findPod(origin.path, namespace, name);
  return pod && { pod, condition: await conditionOf(origin.path, pod) };
}

async function findPod(path: string, namespace: string, name: string): Promise<Pod | undefined> {
  const { promise: overdue, reject } = Promise.withResolvers<never>();
  const why = `the directory of manifests ${path} does not answer within ${PATIENCE_MS / 1000} s`;
  const timer = setTimeout(() => reject(new BerthError('PODS_UNREADABLE', why)), PATIENCE_MS);
  try {
    // Nobody waits for a manifest to be written: one that cannot be understood now is in the way now.
    const source = new DirectorySource(path, { clock: systemClock, settleMs: 0 });
    return await Promise.race([source.get(namespace, name), overdue]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the agent last told the pod: absent when it never did, or when that cannot be read. */
async function conditionOf(path: string, pod: Pod): Promise<PodFacts['condition']> {
  const status = await readStatus(statusPath(path, pod)).catch(() => undefined);
  return status?.uid === pod.uid ? status.conditions[0] : undefined;
}
