import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Alert } from '../../observability/alerts/alert.ts';
import { alertGroups } from '../../observability/alerts/all.ts';
import { rulesFile, testsFile } from '../../observability/alerts/files.ts';
import { ran } from './prometheus.ts';

/** The names of the promtool tests that fail when the alerts are changed so and their tests are as they are; files go below `at`. */
export function failedAlertTests(at: string, change: (alert: Alert) => Alert): { ok: boolean; failed: string[] } {
  for (const part of ['rules', 'tests']) mkdirSync(join(at, part), { recursive: true });
  const results = alertGroups.map((group) => {
    writeFileSync(join(at, 'rules', `${group.name}.yaml`), rulesFile({ ...group, alerts: group.alerts.map(change) }));
    const tests = join(at, 'tests', `${group.name}.yaml`);
    writeFileSync(tests, testsFile(group));
    return ran('promtool', ['test', 'rules', tests]);
  });
  const text = results.map((result) => result.text).join('\n');
  const failed = [...text.matchAll(/name: (\w+ (?:fires|is silent)),?/g)].map(([, name]) => name!);
  return { ok: results.every(({ ok }) => ok), failed: [...new Set(failed)].sort() };
}

/** Of these a test must fail: the first of those that fire, the second of those that are silent. */
export const neverFires = (alert: Alert): Alert => ({ ...alert, expr: 'vector(1) == 2' });
export const alwaysFires = (alert: Alert): Alert => ({ ...alert, expr: 'vector(1)', for: '0s' });
