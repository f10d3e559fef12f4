import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { prometheusConfig } from '../../deploy/embedded/prometheus.ts';
import { alertGroups } from '../../observability/alerts/all.ts';
import { createApiMetrics } from '../../observability/api-metrics.ts';
import { serveMetrics } from '../../observability/metrics-server.ts';
import { createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { lacksPrometheus, ran, startAlertmanager, startPrometheusServer } from '../support/prometheus.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

const lacking = lacksPrometheus('an alert reaches who is to be told (test/integration/alert-delivery.test.ts)');

let folder: string;
let receiver: WebhookReceiver;
let ends: Array<() => Promise<unknown>>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-alerts-'));
  receiver = await startWebhookReceiver();
  ends = [() => receiver.close()];
});
afterEach(async () => {
  for (const end of ends.toReversed()) await end();
  rmSync(folder, { recursive: true, force: true });
});

/** The shipped one, with the two addresses that a person is to fill in. */
function alertmanagerConfig(): string {
  const shipped = readFileSync(join(repositoryRoot, 'deploy/prometheus/alertmanager.yaml'), 'utf8');
  return shipped
    .replace('http://page.invalid/soulfra', receiver.url('/page'))
    .replace('http://ticket.invalid/soulfra', receiver.url('/ticket'));
}

/** The API's own metrics, as it serves them. */
async function serve({ registry }: ReturnType<typeof createApiMetrics>): Promise<number> {
  const server = await serveMetrics({ registry, host: '127.0.0.1', port: 0 });
  ends.push(() => server.close());
  return server.port;
}

interface Alerts {
  source: string;
  reason: string;
  rules: Array<{ name: string; state: string; reason: string; health: string[] }>;
}

interface Told {
  status: string;
  alerts: Array<{ labels: Record<string, string>; annotations: Record<string, string> }>;
}

describe.skipIf(lacking)('Prometheus and Alertmanager as they are shipped', () => {
  test('books that do not add up are told to who is to be called, with what to do', async () => {
    const metrics = createApiMetrics();
    const alertmanager = await startAlertmanager(folder, alertmanagerConfig());
    ends.push(alertmanager.stop);
    const api = await serve(metrics);
    const prometheus = await startPrometheusServer(folder, (self) =>
      prometheusConfig({
        api,
        temporal: undefined,
        self,
        workers: join(folder, 'workers.json'),
        core: join(folder, 'core.json'),
        alertmanager: alertmanager.address,
        interval: '1s',
      }),
    );
    ends.push(prometheus.stop);
    metrics.installation.ledgerImbalance.set(3);
    await until('the webhook was called', async () => receiver.at('/page').length > 0, 50_000);
    const told = JSON.parse(receiver.at('/page')[0]!.body) as Told;
    expect(told.status).toBe('firing');
    expect(told.alerts).toHaveLength(1);
    expect(told.alerts[0]).toMatchObject({
      labels: { alertname: 'LedgerImbalance', severity: 'page' },
      annotations: { summary: 'The books do not add up.', runbook: 'docs/runbooks.md#ledger-imbalance' },
    });
    expect(receiver.at('/ticket')).toEqual([]);
  });

  test('the API shows which rules fire by Prometheus, and what each is about', async () => {
    const metrics = createApiMetrics();
    metrics.installation.ledgerImbalance.set(3);
    const served = await serve(metrics);
    const prometheus = await startPrometheusServer(folder, (self) =>
      prometheusConfig({
        api: served,
        temporal: undefined,
        self,
        workers: join(folder, 'workers.json'),
        core: join(folder, 'core.json'),
        interval: '1s',
      }),
    );
    ends.push(prometheus.stop);
    const api = await createApiFixture({ prometheusUrl: `${prometheus.url}/` });
    ends.push(() => api.close());
    const read = async () => (await api.call('GET', '/v1/alerts')).json as unknown as Alerts;
    const ledger = async () => (await read()).rules.find(({ name }) => name === 'LedgerImbalance');
    await until('the rule fires', async () => (await ledger())?.state === 'firing', 50_000);
    expect(await ledger()).toMatchObject({
      group: 'soulfra-business',
      severity: 'page',
      health: ['ledger'],
      runbook: 'docs/runbooks.md#ledger-imbalance',
      of: [{ state: 'firing', summary: 'The books do not add up.' }],
    });
    const { source, rules } = await read();
    expect(source).toBe('prometheus');
    expect(rules[0]!.state).toBe('firing');
    const names = alertGroups.flatMap(({ alerts }) => alerts.map(({ name }) => name));
    expect(rules.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    // It goes away: nobody takes what it said last for what is.
    await prometheus.stop();
    expect(await read()).toMatchObject({
      source: 'none',
      reason: expect.stringContaining('does not answer') as string,
    });
    expect((await ledger())?.state).toBe('unknown');
  }, 90_000);

  test('a Prometheus that has none of the rules has judged none', async () => {
    const prometheus = await startPrometheusServer(folder, () => 'scrape_configs: []\n');
    ends.push(prometheus.stop);
    const api = await createApiFixture({ prometheusUrl: prometheus.url });
    ends.push(() => api.close());
    const { source, rules } = (await api.call('GET', '/v1/alerts')).json as unknown as Alerts;
    expect(source).toBe('prometheus');
    expect(rules.length).toBeGreaterThan(20);
    expect(new Set(rules.map(({ state, reason }) => `${state}: ${reason}`))).toEqual(
      new Set(['unknown: Prometheus does not have this rule']),
    );
  });

  test('of a chain of faults the first alone is told', async () => {
    const alertmanager = await startAlertmanager(folder, alertmanagerConfig());
    ends.push(alertmanager.stop);
    const at = `--alertmanager.url=${alertmanager.url}`;
    const raise = (...labels: string[]) =>
      expect(ran('amtool', [at, 'alert', 'add', ...labels])).toMatchObject({ ok: true });
    raise('alertname=MachineLost', 'severity=page', 'layer=machine', 'machine=mainpc');
    raise('alertname=QueueBacklogOld', 'severity=ticket', 'layer=backlog', 'queue=inference_24g_qwen');
    raise('alertname=AgentsLate', 'severity=ticket', 'layer=agents');
    raise('alertname=BackupOld', 'severity=page');
    await until('the page was told', async () => receiver.at('/page').length >= 2, 40_000);
    const query = (kind: string) =>
      (JSON.parse(ran('amtool', [at, '-o', 'json', 'alert', 'query', kind]).text) as Told['alerts'])
        .map(({ labels }) => labels['alertname']!)
        .sort();
    expect(query('--inhibited')).toEqual(['AgentsLate', 'QueueBacklogOld']);
    expect(query('--active')).toEqual(['BackupOld', 'MachineLost']);
    expect(receiver.at('/ticket')).toEqual([]);
  });
});

test('without a Prometheus every rule is named with the kinds of health that stand for it, to who runs the installation alone', async () => {
  const api = await createApiFixture();
  ends.push(() => api.close());
  const { source, reason, rules } = (await api.call('GET', '/v1/alerts')).json as unknown as Alerts;
  expect({ source, reason }).toEqual({ source: 'none', reason: 'no Prometheus is known (SOULFRA_PROMETHEUS_URL)' });
  expect(rules.length).toBeGreaterThan(20);
  expect(new Set(rules.map(({ state }) => state))).toEqual(new Set(['unknown']));
  expect(rules.find(({ name }) => name === 'MachineLost')?.health).toEqual(['machine']);
  for (const token of [api.tokens.creator, api.stranger.token])
    expect((await api.call('GET', '/v1/alerts', { token })).status).toBe(403);
});
