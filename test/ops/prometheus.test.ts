/** A real Prometheus finds pods by the page for it, scrapes them, and keeps them while the aggregator knows too little. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { mapping } from '../rpc/fixture.ts';
import { discovered } from './discovered.ts';
import { type ActiveTarget, findProgram, MISSING, type Prometheus, prometheus } from './prometheus.ts';

/** A pod's metrics, at a host port on loopback. */
async function exporter(t: ExecutionContext): Promise<number> {
  const server = createServer((_, response) => response.end('up_and_running 1\n')).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

async function until(
  { targets }: Prometheus,
  holds: (targets: readonly ActiveTarget[]) => boolean,
): Promise<readonly ActiveTarget[]> {
  for (;;) {
    const found = await targets();
    if (holds(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The first scrape configuration that the page shows, with the addresses of this test. */
function shownConfig(url: string): object {
  const page = readFileSync(join(import.meta.dirname, '../../docs/prometheus.md'), 'utf8');
  const [, block = ''] = /^```yaml\n(scrape_configs:[\s\S]*?)^```$/m.exec(page) ?? [];
  const [config] = parse(block).scrape_configs;
  const { authorization: _, tls_config: __, ...job } = config;
  const [{ url: shown }] = job.http_sd_configs;
  return { ...job, http_sd_configs: [{ url: url + new URL(shown).search, refresh_interval: '1s' }] };
}

test('Prometheus scrapes the pods that it is told of, and follows them', async (t) => {
  const program = findProgram('prometheus');
  if (program === undefined) {
    t.log(MISSING);
    return t.pass();
  }
  const made = await discovered(t);
  const [first, second] = [await exporter(t), await exporter(t)];
  const node = [{ type: 'internal-ip', address: '127.0.0.1' }] as const;
  const web = (pod: string, hostPort: number) => mapping(pod, { hostPort, name: 'metrics' });
  made.tell('node-a', node, [web('a', first), mapping('other', { hostPort: 1 })]);
  const running = await prometheus(t, program, [shownConfig(made.url)]);

  const [target, ...more] = await until(running, ([one]) => one?.health === 'up');
  t.deepEqual(more, []);
  t.is(target?.scrapeUrl, `http://127.0.0.1:${first}/metrics`);
  t.like(target?.labels, { namespace: 'shop', pod: 'a', node: 'node-a' });

  // The pod moves to another port.
  made.tell('node-a', node, [web('a', second)]);
  await until(running, ([one]) => one?.health === 'up' && one.scrapeUrl === `http://127.0.0.1:${second}/metrics`);

  // A replica that was restarted knows nothing yet: what Prometheus knows stays.
  made.state.ready = false;
  while (!running.logged(/503 Service Unavailable/)) await new Promise((resolve) => setTimeout(resolve, 50));
  t.deepEqual(
    (await running.targets()).map(({ scrapeUrl }) => scrapeUrl),
    [`http://127.0.0.1:${second}/metrics`],
  );
  made.state.ready = true;

  made.tell('node-a', node, []);
  await until(running, (targets) => targets.length === 0);
});
