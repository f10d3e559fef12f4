import { setTimeout as pause } from 'node:timers/promises';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { alertGroups } from '../../observability/alerts/all.ts';
import { dashboards } from '../../observability/dashboards/all.ts';
import { installationDefinitions } from '../../observability/metrics/api-definitions.ts';
import { core } from '../../observability/temporal-metrics.ts';
import { seriesOf } from '../../test/support/prometheus.ts';
import { filledIn, selectorsIn } from '../../test/support/promql.ts';

export interface Expression {
  /** Dashboard and panel, or alert. */
  of: string;
  expr: string;
}

/**
 * Every query of every panel as it stands, and of every alert each selector: an alert's condition has no series as long as all is
 * well, what it looks at has.
 */
function everyExpression(): Expression[] {
  const panels = dashboards.flatMap(({ file, build }) =>
    (build().panels as Panel[]).flatMap(({ title, targets = [] }) =>
      (targets as unknown as Array<{ expr: string }>).map(({ expr }) => ({
        of: `${file} ${title}`,
        expr: filledIn(expr, '30s'),
      })),
    ),
  );
  const alerts = alertGroups.flatMap(({ alerts: inGroup }) =>
    inGroup.flatMap(({ name, expr }) => selectorsIn(expr).map((selector) => ({ of: name, expr: selector }))),
  );
  return [...panels, ...alerts];
}

/** What has no series in a fleet where this has not happened; each with why it is not made to happen. */
const allowed: ReadonlyArray<{ contains: string; why: string }> = [
  { contains: installationDefinitions.certificate.name, why: 'no certificate is set up before the deploy kit' },
  { contains: installationDefinitions.sold.name, why: 'nothing is sold in this fleet' },
  { contains: installationDefinitions.inbox.name, why: 'nothing waits for a person in this fleet' },
  { contains: '_count{status="5xx"', why: 'the API fails no request' },
  { contains: core.requestFailures, why: 'the server refuses nothing' },
  { contains: `${core.workflowTaskExecutionFailed}{`, why: 'no history differs from its code, and none is too large' },
];

export interface Seen {
  expressions: number;
  without: Expression[];
  allowed: Array<Expression & { why: string }>;
}

/** Asks until every expression has had a series, and for at most `withinMs`. */
export async function lookAtAll(prometheusUrl: string, withinMs: number): Promise<Seen> {
  const all = everyExpression();
  let missing = all;
  const deadline = Date.now() + withinMs;
  for (;;) {
    const counts = await Promise.all(missing.map(({ expr }) => seriesOf(prometheusUrl, expr)));
    missing = missing.filter((_, i) => counts[i] === 0);
    const named = missing.map((each) => ({
      ...each,
      why: allowed.find(({ contains }) => each.expr.includes(contains))?.why,
    }));
    const without = named.filter(({ why }) => why === undefined);
    if (without.length === 0 || Date.now() > deadline)
      return {
        expressions: all.length,
        without,
        allowed: named.flatMap(({ why, ...each }) => (why === undefined ? [] : [{ ...each, why }])),
      };
    await pause(1_000);
  }
}
