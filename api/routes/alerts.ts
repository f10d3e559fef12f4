import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { healthKinds } from '../../domain/states.ts';
import { type PrometheusRule, readAlertRules } from '../../integrations/prometheus.ts';
import { alertGroups } from '../../observability/alerts/all.ts';
import { healthKindsOf } from '../../observability/alerts/health.ts';
import { runbookPath } from '../../observability/runbooks.ts';
import type { ApiContext } from '../context.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, timeSchema } from '../schemas.ts';
import { createSharedReadings } from '../shared-readings.ts';
import type { Api } from '../types.ts';

const states = ['firing', 'pending', 'unknown', 'inactive'] as const;
type State = (typeof states)[number];

const alertSchema = z.object({
  name: z.string(),
  group: z.string(),
  severity: z.string().describe('page: a person now; ticket: a person this day'),
  state: z.enum(states).describe('pending: it holds, and not for long enough yet; unknown: nobody has judged it'),
  summary: z.string(),
  reason: z.string().describe('Why its state is not known'),
  runbook: z.string().describe('In the repository; empty where the rule names none'),
  health: z.array(z.enum(healthKinds)).describe('Kinds of health by which the same is seen without Prometheus'),
  of: z
    .array(
      z.object({
        labels: z.record(z.string(), z.string()),
        summary: z.string(),
        state: z.enum(['firing', 'pending', 'inactive']),
        since: timeSchema,
      }),
    )
    .describe('What it fires for, or is about to'),
});
type Alert = z.infer<typeof alertSchema>;

const alertsSchema = z
  .object({
    source: z.enum(['prometheus', 'none']).describe('none: no Prometheus is known, or it gives no answer'),
    reason: z.string().describe('Why there is no state of them'),
    rules: z.array(alertSchema).describe('What fires first'),
  })
  .meta({ id: 'Alerts' });

const shipped = alertGroups.flatMap(({ name: group, alerts }) => alerts.map((alert) => ({ ...alert, group })));

/** The alert rules, with what they say now where a Prometheus is known. */
export function alertRoutes(app: Api, { principals, prometheusUrl }: ApiContext): void {
  const reading = createSharedReadings<Awaited<ReturnType<typeof readAlertRules>>>();

  app.route({
    method: 'GET',
    url: '/v1/alerts',
    config: { role: 'operator' },
    schema: {
      tags: ['health'],
      summary:
        'Alert rules and which of them fire by Prometheus; where none is known, which kinds of health stand for them',
      response: { 200: alertsSchema, ...problemResponses },
    },
    handler: async (request) => {
      // They are of the whole installation.
      if (callerOf(request).ownerId !== (await principals.firstOperator()))
        throw new DomainError('FORBIDDEN', 'only who runs the installation reads its alerts');
      if (prometheusUrl === undefined) return unjudged('no Prometheus is known (SOULFRA_PROMETHEUS_URL)');
      const rules = await reading('rules', () => readAlertRules(prometheusUrl));
      if ('error' in rules) return unjudged(rules.error);
      return { source: 'prometheus' as const, reason: '', rules: judged(rules.seen) };
    },
  });
}

function unjudged(reason: string): z.infer<typeof alertsSchema> {
  return { source: 'none', reason, rules: shipped.map((alert) => known(alert, reason)) };
}

function known(alert: (typeof shipped)[number], reason: string): Alert {
  const { name, group, severity, summary, runbook } = alert;
  return {
    name,
    group,
    severity,
    state: 'unknown',
    summary: withoutLabels(summary),
    reason,
    runbook: runbookPath(runbook),
    health: [...healthKindsOf(name)],
    of: [],
  };
}

/** Prometheus may have rules of its owner beside ours, and not have one of ours. */
function judged(rules: readonly PrometheusRule[]): Alert[] {
  const names = new Set(rules.map(({ name }) => name));
  return [
    ...rules.map(alertOf),
    ...shipped
      .filter(({ name }) => !names.has(name))
      .map((alert) => known(alert, 'Prometheus does not have this rule')),
  ].sort((a, b) => states.indexOf(a.state) - states.indexOf(b.state));
}

function alertOf({ name, group, state, health, lastError, labels, annotations, alerts }: PrometheusRule): Alert {
  const failed = health === 'err';
  const active = alerts.filter((alert) => alert.state !== 'inactive');
  const ruleState: State = failed ? 'unknown' : state;
  return {
    name,
    group,
    severity: labels['severity'] ?? '',
    state: ruleState,
    summary: withoutLabels(annotations['summary'] ?? ''),
    reason: failed ? lastError : state === 'unknown' ? 'Prometheus has not judged it yet' : '',
    runbook: annotations['runbook'] ?? '',
    health: [...healthKindsOf(name)],
    of: active.map((alert) => ({
      labels: alert.labels,
      summary: alert.annotations['summary'] ?? '',
      state: alert.state,
      since: alert.activeAt,
    })),
  };
}

/** A rule that fires for nobody in particular has no labels to tell. */
function withoutLabels(summary: string): string {
  return summary.replaceAll(/\{\{\s*\$labels\.(\w+)\s*\}\}/g, '<$1>');
}
