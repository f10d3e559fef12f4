import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { healthKinds } from '../../domain/states.ts';
import { alertGroups } from '../../observability/alerts/all.ts';
import { alertsWithHealth, healthKindsOf } from '../../observability/alerts/health.ts';
import { metricCatalogue } from '../../observability/metrics/catalogue.ts';
import { core, server } from '../../observability/temporal-metrics.ts';
import { alwaysFires, failedAlertTests, neverFires } from '../support/alert-tests.ts';
import { lacksPrometheus, ran } from '../support/prometheus.ts';
import { metricsIn, withoutPart } from '../support/promql.ts';

const folder = mkdtempSync(join(tmpdir(), 'soulfra-alerts-'));
afterAll(() => rmSync(folder, { recursive: true }));
const alerts = alertGroups.flatMap((group) => group.alerts);
const lacking = lacksPrometheus('alerts fire and stay silent (test/unit/alerts.test.ts)');

test('every alert has a name of its own, a sentence, and asks for metrics that somebody exports', () => {
  expect(new Set(alerts.map(({ name }) => name)).size).toBe(alerts.length);
  const known = new Set<string>([
    ...metricCatalogue.map(({ name }) => name),
    ...Object.values(core),
    ...Object.values(server),
    'up',
  ]);
  for (const { name, summary, expr } of alerts) {
    expect(name).toMatch(/^[A-Z][A-Za-z]+$/);
    expect(summary, name).toMatch(/^[A-Z{].*\.$/);
    const metrics = metricsIn(expr);
    expect(metrics.length, name).toBeGreaterThan(0);
    for (const metric of metrics) expect(known, name).toContain(known.has(metric) ? metric : withoutPart(metric));
  }
});

test('what stands for an alert without Prometheus is of an alert that there is, and of a kind of health', () => {
  const names = new Set(alerts.map(({ name }) => name));
  for (const name of alertsWithHealth) {
    expect(names, name).toContain(name);
    for (const kind of healthKindsOf(name)) expect(healthKinds).toContain(kind);
  }
  expect(healthKindsOf('ApiSlow')).toEqual([]);
});

describe.skipIf(lacking)('by promtool', () => {
  test('the rules are rules', () => {
    const files = alertGroups.map(({ name }) => join(repositoryRoot, 'deploy/prometheus/rules', `${name}.yaml`));
    const { ok, text } = ran('promtool', ['check', 'rules', '--lint=all', '--lint-fatal', ...files]);
    expect(text).not.toMatch(/FAILED/);
    expect(ok, text).toBe(true);
  });

  test('each fires when it should and is silent when it should', () => {
    expect(failedAlertTests(join(folder, 'as-they-are'), (alert) => alert)).toEqual({ ok: true, failed: [] });
  });

  test('an alert that never fires fails each first test, one that always fires each second', () => {
    const names = alerts.map(({ name }) => name).sort();
    expect(failedAlertTests(join(folder, 'never'), neverFires).failed).toEqual(names.map((name) => `${name} fires`));
    const { failed } = failedAlertTests(join(folder, 'always'), alwaysFires);
    expect(failed).toEqual(expect.arrayContaining(names.map((name) => `${name} is silent`)));
  });

  test('the configuration of Prometheus is one, and every target has a job', () => {
    const kept = join(repositoryRoot, 'deploy/prometheus');
    const { ok, text } = ran('promtool', ['check', 'config', '--syntax-only', join(kept, 'prometheus.yaml')]);
    expect(ok, text).toBe(true);
  });
});

describe.skipIf(lacking)('by amtool', () => {
  const config = join(repositoryRoot, 'deploy/prometheus/alertmanager.yaml');

  test('the configuration is one', () => {
    expect(ran('amtool', ['check-config', config]).text).toMatch(/SUCCESS/);
  });

  test.each([
    ['page', ['severity=page', 'alertname=MachineLost', 'machine=pc2']],
    ['ticket', ['severity=ticket', 'alertname=BackupOld']],
    ['ticket', ['alertname=SomethingOfYourOwn']],
  ])('%s is told of %s', (receiver, labels) => {
    const { ok, text } = ran('amtool', [
      'config',
      'routes',
      'test',
      `--config.file=${config}`,
      `--verify.receivers=${receiver}`,
      ...labels,
    ]);
    expect(ok, text).toBe(true);
  });

  test('each layer that inhibits, or is inhibited, is one that alerts have', () => {
    const used = [...readFileSync(config, 'utf8').matchAll(/layer (?:=~ "([a-z|]+)"|= ([a-z]+))/g)].flatMap(
      ([, several, one]) => (several ?? one ?? '').split('|'),
    );
    const given = alerts.flatMap(({ labels }) => labels?.['layer'] ?? []);
    expect([...new Set(used)].sort()).toEqual([...new Set(given)].sort());
  });
});
