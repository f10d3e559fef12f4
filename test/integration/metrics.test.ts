import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { type Fleet, fleetSchema } from '../../domain/fleet.ts';
import { serviceSchema } from '../../domain/services.ts';
import { metricCatalogue } from '../../observability/metrics/catalogue.ts';
import { partLabels } from '../../observability/metrics/definition.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { lacks } from '../support/not-run.ts';
import { smallFleet } from '../support/small-fleet.ts';

/** As nvidia_gpu_exporter tells of one card. */
const exporterText = `# HELP nvidia_smi_gpu_info A metric with a constant '1' value
nvidia_smi_gpu_info{driver_version="550.1",index="0",name="NVIDIA GeForce RTX 4090",uuid="df6e"} 1
nvidia_smi_last_collect_success 1
nvidia_smi_memory_total_bytes{uuid="df6e"} 2.5769803776e+10
nvidia_smi_memory_used_bytes{uuid="df6e"} 1.0737418240e+10
nvidia_smi_power_draw_watts{uuid="df6e"} 300
nvidia_smi_temperature_gpu{uuid="df6e"} 61
nvidia_smi_utilization_gpu_ratio{uuid="df6e"} 0.87
`;

/** What has no series in a fleet to which this has not happened yet: no service here asks for words, or claims work. */
const withoutSeries = [
  'soulfra_activity_failures_total',
  'soulfra_archive_last_success_timestamp_seconds',
  'soulfra_backup_bytes',
  'soulfra_gateway_busy_seconds_total',
  'soulfra_gateway_first_token_seconds',
  'soulfra_gateway_requests_total',
  'soulfra_gateway_tokens_total',
  'soulfra_inbox_open',
  'soulfra_restore_drill_last_success_timestamp_seconds',
  'soulfra_restore_drill_rpo_seconds',
  'soulfra_restore_drill_rto_seconds',
  'soulfra_sales_day_minor_units',
  'soulfra_standby_asynchronous',
  'soulfra_work_claim_wait_seconds',
  'soulfra_work_leases_lost_total',
  'soulfra_workflow_version_current',
];

let scope: TestScope;
let lab: Lab;
let folder: string;
let model: ModelServer;
let exporter: Server;
let squatter: Server;
let fleet: Fleet;

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-metrics-'));
  model = await startModelServer({ slots: 4, tokensPerSecond: 2_000, models: ['llama8b_q4'] });
  exporter = await listening(createServer((_, response) => response.end(exporterText)));
  const stamp = join(folder, 'backup.stamp');
  writeFileSync(stamp, '');
  const certificate = join(folder, 'api.pem');
  const { url } = model;
  const base = await freePorts(5);
  const parsed = parseFleet(smallFleet);
  if (!('fleet' in parsed)) throw new Error('the small fleet does not parse');
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '30',
      '-subj',
      '/CN=soulfra',
      '-keyout',
      '/dev/null',
      '-out',
      certificate,
    ],
    { stdio: 'ignore' },
  );
  fleet = fleetSchema.parse({
    ...parsed.fleet,
    machines: parsed.fleet.machines.map((machine) =>
      machine.id === 'big'
        ? {
            ...machine,
            modelServer: { kind: 'openai', url, sequences: 4 },
            gpuExporter: `http://127.0.0.1:${portOf(exporter)}/metrics`,
          }
        : machine,
    ),
    metrics: { port: base, backupStamp: stamp, certificates: [certificate] },
  });
  // The port of the small machine's Core is somebody else's.
  squatter = await listening(createServer(), base + 4);
  lab = await openLab({ ...scope, namespace: scope.namespace }, { logs: folder });
  await lab.apply(fleet);
  await lab.remember(plainMemories(await everyAgentId(lab.db), 12));
  await lab.startApi(await freePorts(1));
  // Of no machine, so that nothing runs it.
  const spec = serviceSchema.parse({ id: 'quill', kind: 'process', joins: 'work', source: 'startup.yaml:1' });
  await sql`insert into services (id, owner_id, spec) values ('quill', ${labOwner}, ${JSON.stringify(spec)}::jsonb)`.execute(
    lab.db,
  );
  await sql`insert into works (id, owner_id, service_id, queue, joins, input, request_hash, priority, lease_seconds, attempts, deadline)
    values ('work_quill', ${labOwner}, 'quill', 'quill', 'work', '{}', '', 3, 60, 1, now() + interval '1 hour')`.execute(
    lab.db,
  );
  lab.startWorker('big');
  lab.startWorker('small');
  await lab.settled(['big', 'small'], 90_000);
  await (await lab.sweep('metrics')).result();
}, 180_000);

afterAll(async () => {
  await lab.close();
  await model.close();
  for (const server of [exporter, squatter]) await new Promise((resolve) => server.close(resolve));
  await scope.close();
  rmSync(folder, { recursive: true, force: true });
});

const port = (offset: number) => fleet.metrics.port + offset;
const scrape = async (offset: number) => (await fetch(`http://127.0.0.1:${port(offset)}/metrics`)).text();
const endpoints = { api: 0, bigWorker: 1, bigCore: 2, smallWorker: 3 } as const;

test('every metric of the catalogue is exported by its part, and no series has another label or value', async () => {
  await until('energy is measured', async () =>
    (await scrape(endpoints.bigWorker)).includes('soulfra_inference_energy_joules_total{'),
  );
  const exported = { api: await scrape(endpoints.api), worker: await scrape(endpoints.bigWorker) };
  const series = (part: 'api' | 'worker') =>
    exported[part].split('\n').flatMap((line) => {
      const [, name, labels = '', value] = /^(soulfra_\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (name === undefined) return [];
      return [
        {
          name,
          value: Number(value),
          labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key!, text!])),
        },
      ];
    });
  const missing: string[] = [];
  for (const { name, type, part, labels } of metricCatalogue) {
    const own = series(part).filter(
      (each) => each.name.replace(type === 'histogram' ? /_(bucket|sum|count)$/ : /$^/, '') === name,
    );
    if (own.length === 0) missing.push(name);
    const known: Record<string, readonly string[] | string> = {
      ...labels,
      ...partLabels[part],
      ...(type === 'histogram' ? { le: 'bounds' } : {}),
    };
    for (const each of own) {
      expect(Object.keys(known)).toEqual(expect.arrayContaining(Object.keys(each.labels)));
      for (const [label, value] of Object.entries(each.labels)) {
        const values = known[label]!;
        if (typeof values !== 'string') expect(values, `${label} of ${name}`).toContain(value);
      }
    }
  }
  expect(missing.sort()).toEqual(withoutSeries);
  const named = new Set(metricCatalogue.map(({ name }) => name as string));
  for (const part of ['api', 'worker'] as const)
    for (const { name } of series(part)) expect(named).toContain(name.replace(/_(bucket|sum|count)$/, ''));

  const valueOf = (part: 'api' | 'worker', name: string, labels: Record<string, string> = {}) =>
    series(part)
      .filter(
        (each) => each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value),
      )
      .map(({ value }) => value);
  // Four agents reflected, on whichever machine; the card and the plan are as they were told.
  expect(valueOf('api', 'soulfra_agents_by_lateness', { lateness: 'on_time' })).toEqual([4]);
  expect(valueOf('api', 'soulfra_open_work', { service: 'quill', state: 'queued' })).toEqual([1]);
  expect(valueOf('api', 'soulfra_api_part_up')).toEqual([1, 1, 1]);
  expect(valueOf('api', 'soulfra_queue_pollers', { queue: 'coordination', type: 'workflow' })[0]).toBeGreaterThan(0);
  expect(valueOf('worker', 'soulfra_gpu_memory_used_bytes')).toEqual([10 * 2 ** 30]);
  expect(valueOf('worker', 'soulfra_gpu_utilization_ratio')).toEqual([0.87]);
  expect(valueOf('worker', 'soulfra_inference_tokens_total', { direction: 'prompt' })[0]).toBeGreaterThan(0);
  expect(valueOf('api', 'soulfra_certificate_not_after_timestamp_seconds')[0]! - Date.now() / 1000).toBeGreaterThan(
    29 * 86_400,
  );
});

test('Core counts in seconds, with buckets that tell 5 ms from 600 s', async () => {
  const text = await scrape(endpoints.bigCore);
  const bounds = (metric: string) =>
    [...text.matchAll(new RegExp(`^${metric}_bucket\\{.*le="([^"]+)"`, 'gm'))].map(([, le]) => Number(le));
  for (const metric of [
    'temporal_activity_execution_latency_seconds',
    'temporal_activity_schedule_to_start_latency_seconds',
  ])
    expect(bounds(metric)).toEqual(expect.arrayContaining([0.005, 0.1, 600]));
  expect(bounds('temporal_workflow_task_schedule_to_start_latency_seconds')).toEqual(
    expect.arrayContaining([0.005, 0.1, 5]),
  );
  expect(text).toMatch(/^temporal_request_total\{/m);
});

test('a port that is taken costs the metrics and not the work, and the log says what to set', async () => {
  const log = readFileSync(join(folder, 'worker-small.log'), 'utf8');
  expect(log).toContain(`metrics cannot be served at 127.0.0.1:${port(4)}`);
  expect(log).toContain('name a free port by metrics.port or machines[].metricsPort in fleet.yaml');
  expect(log).toContain('machine works');
  expect(await scrape(endpoints.smallWorker)).toContain('soulfra_lease_renewals_total');
});

const promtool = (() => {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const row = { test: 'metrics: promtool check metrics', needs: 'promtool', command: 'apt-get install prometheus' };
test.skipIf(lacks(row, promtool))('promtool finds nothing to say of any endpoint', async () => {
  for (const [name, offset] of Object.entries(endpoints)) {
    const checked = promisify(execFile)('promtool', ['check', 'metrics']);
    checked.child.stdin!.end(await scrape(offset));
    const said = await checked.then(
      ({ stdout, stderr }) => `${stdout}${stderr}`,
      (err: { stdout: string; stderr: string }) => `${err.stdout}${err.stderr}`,
    );
    expect(said, name).toBe('');
  }
});

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function listening(server: Server, at = 0): Promise<Server> {
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(at, '127.0.0.1', resolve));
  return server;
}

/** First of so many ports in a row that nobody has. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await listening(createServer());
    const base = portOf(first);
    const others = await Promise.all(
      Array.from({ length: count - 1 }, (_, i) => listening(createServer(), base + 1 + i).catch(() => undefined)),
    );
    const all = [first, ...others];
    for (const server of all) if (server) await new Promise((resolve) => server.close(resolve));
    if (!all.includes(undefined) && base + count < 63_000) return base;
  }
}
