/** Agents as processes that are killed, stopped and doubled, over real sockets, with short times of grace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { aggregator, clientOf, eventually, listed } from './clusterfixture.ts';
import { slowWatch } from './slowwatch.ts';

function agentProcess(t: ExecutionContext, address: string, node: string, epoch = 1): ChildProcess & { said: string } {
  const program = join(import.meta.dirname, 'agentprocess.ts');
  const child = spawn(process.execPath, [program, address, node, String(epoch)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const made = Object.assign(child, { said: '' });
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    made.said += text;
  });
  return made;
}

test('an agent that is killed: stale after the time of grace, gone after the longer one, and everybody is told', async (t) => {
  const { address, cluster, served } = await aggregator(t, { limits: { graceMs: 0, dropMs: 3_000 } });
  const child = agentProcess(t, address, 'node-a');
  await eventually(() => served.ready && cluster.mappings.size === 1);
  const watch = slowWatch(t, address);
  await watch.synced();
  child.kill('SIGKILL');
  const stale = (await watch.next()).changes?.[0]?.set;
  t.is(stale?.stale, true);
  t.is((await watch.next()).changes?.[0]?.deleted?.pod, 'web');
  t.deepEqual(cluster.count, { heard: 0, known: 0 });
});

test('an agent that is killed and started again within the time of grace: nothing is marked, nothing is told', async (t) => {
  const { address, cluster } = await aggregator(t, { limits: { graceMs: 600_000 } });
  const first = agentProcess(t, address, 'node-a', 1);
  await eventually(() => cluster.mappings.size === 1);
  first.kill('SIGKILL');
  await eventually(() => cluster.records.get('node-a')?.session === undefined);
  agentProcess(t, address, 'node-a', 2);
  await eventually(
    () =>
      cluster.records.get('node-a')?.agent.epoch === 2 && cluster.records.get('node-a')?.unsyncedSince === undefined,
  );
  t.is(cluster.mappings.revision, 1);
});

test('an agent that says nothing any more, with its connection open, is stale, and fresh again when it goes on', async (t) => {
  const { address, cluster, heard } = await aggregator(t, { limits: { silenceMs: 12_000 } });
  const child = agentProcess(t, address, 'node-a');
  await eventually(() => cluster.mappings.size === 1);
  child.kill('SIGSTOP');
  await eventually(() => cluster.records.get('node-a')?.stale === true);
  t.true(heard.includes('ended node-a UNAVAILABLE'));
  child.kill('SIGCONT');
  await eventually(() => cluster.records.get('node-a')?.stale === false);
  t.deepEqual(await listed(clientOf(t, address)), ['node-a/web:20000']);
});

test('of two agents that claim one node the one with the older epoch never overwrites, also while the newer is gone', async (t) => {
  const { address, cluster, heard } = await aggregator(t, { limits: { graceMs: 0 } });
  const young = agentProcess(t, address, 'node-a', 2);
  await eventually(() => cluster.mappings.size === 1);
  const old = agentProcess(t, address, 'node-a', 1);
  await eventually(() => old.said.includes('speaks for it'));
  t.regex(
    old.said,
    /^node-a 10 node node-a: the agent with epoch 2 \(boot boot-1\) speaks for it, not the agent with epoch 1 \(boot boot-1\): stop one of them/,
  );
  t.is(cluster.records.get('node-a')?.agent.epoch, 2);
  young.kill('SIGKILL');
  await once(young, 'exit');
  await eventually(() => cluster.records.get('node-a')?.stale === true);
  const later = agentProcess(t, address, 'node-a', 1);
  await eventually(() => later.said.includes('speaks for it'));
  t.is(cluster.records.get('node-a')?.agent.epoch, 2);
  t.true(cluster.records.get('node-a')?.stale);
  t.is(heard.filter((one) => one === 'opened node-a').length, 1);
});
