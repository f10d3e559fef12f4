import { stringify } from 'yaml';
import { runbookPath } from '../runbooks.ts';
import type { Alert, AlertGroup, Firing } from './alert.ts';

const madeBy = (group: AlertGroup) =>
  `# Made from observability/alerts/${group.name}.ts by \`npm run gen\`; not edited by hand.\n`;
const text = (group: AlertGroup, value: unknown) => madeBy(group) + stringify(value, { lineWidth: 0 });

/** deploy/prometheus/rules/<name>.yaml */
export function rulesFile(group: AlertGroup): string {
  return text(group, { groups: [{ name: `soulfra-${group.name}`, rules: group.alerts.map(rule) }] });
}

function rule(alert: Alert) {
  return {
    alert: alert.name,
    expr: alert.expr,
    for: alert.for,
    labels: { severity: alert.severity, ...alert.labels },
    annotations: { summary: alert.summary, runbook: runbookPath(alert.runbook) },
  };
}

/** deploy/prometheus/tests/<name>.yaml, for `promtool test rules`: every alert in each case firing and once silent. */
export function testsFile(group: AlertGroup): string {
  return text(group, {
    rule_files: [`../rules/${group.name}.yaml`],
    evaluation_interval: '1m',
    tests: group.alerts.flatMap((alert) => [
      firing(alert, alert.fires),
      ...(alert.alsoFires ?? []).map((also) => firing(alert, also, ` when ${also.as}`)),
      silent(alert),
    ]),
  });
}

function firing(alert: Alert, { when, at, labels }: Firing, words = '') {
  const expected = {
    exp_labels: { severity: alert.severity, ...alert.labels, ...labels },
    exp_annotations: { summary: rendered(alert.summary, labels), runbook: runbookPath(alert.runbook) },
  };
  return {
    name: `${alert.name} fires${words}`,
    interval: '1m',
    input_series: inputs(when),
    alert_rule_test: [{ eval_time: at, alertname: alert.name, exp_alerts: [expected] }],
  };
}

function silent(alert: Alert) {
  const { when, at } = alert.silent;
  return {
    name: `${alert.name} is silent`,
    interval: '1m',
    input_series: inputs(when),
    alert_rule_test: [{ eval_time: at, alertname: alert.name, exp_alerts: [] }],
  };
}

function inputs(series: Record<string, string>) {
  return Object.entries(series).map(([name, values]) => ({ series: name, values }));
}

/** As Prometheus renders the only form that our summaries use. */
function rendered(summary: string, labels: Record<string, string>): string {
  return summary.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => labels[name] ?? '');
}
