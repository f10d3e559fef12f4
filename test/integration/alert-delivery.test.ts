import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { prometheusConfig } from '../../deploy/embedded/prometheus.ts';
import { createApiMetrics } from '../../observability/api-metrics.ts';
import { serveMetrics } from '../../observability/metrics-server.ts';
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
