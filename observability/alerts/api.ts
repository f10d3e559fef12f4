import { apiDefinitions as api, installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import { quantile } from '../promql.ts';
import { jobs } from '../temporal-metrics.ts';
import type { Alert, AlertGroup } from './alert.ts';

/** Part of the requests that may fail in a month. */
const budget = 0.005;
/** Fewer requests than this in the long window say nothing: one of ten failed is 10 %. */
const leastRequests = 100;
const requests = api.requests.name;
const streams = 'route!~".*events.*|.*stream.*"';

/** Whoever probes asks all day long, and would drown what users meet. */
const asked = 'route!~"/v1/health/.*|/metrics"';
const failing = (window: string) =>
  `sum(rate(${requests}_count{status="5xx",${asked}}[${window}])) / sum(rate(${requests}_count{${asked}}[${window}]))`;

/** The budget of a month spent `times` as fast as it lasts, over a long window and still over a short one. */
function burn(options: {
  name: string;
  times: number;
  long: string;
  short: string;
  for: string;
  severity: Alert['severity'];
  summary: string;
}): Alert {
  const { name, times, long, short, severity, summary } = options;
  const limit = `${times} * ${budget}`;
  const series = (status: string) => `${requests}_count{method="GET",route="/v1/agents",status="${status}"}`;
  return {
    name,
    expr: `(${failing(long)}) > ${limit} and (${failing(short)}) > ${limit} and sum(increase(${requests}_count{${asked}}[${long}])) > ${leastRequests}`,
    for: options.for,
    severity,
    summary,
    runbook: 'error-budget',
    fires: { when: { [series('2xx')]: '0+60x120', [series('5xx')]: '0+30x120' }, at: '100m', labels: {} },
    // Every second request fails, of very few.
    silent: { when: { [series('2xx')]: '0x60 1x60', [series('5xx')]: '0x60 1x60' }, at: '100m' },
  };
}

/** The API, what it stands on, and whether anything can be seen at all. */
export const apiAlerts: AlertGroup = {
  name: 'api',
  alerts: [
    burn({
      name: 'ErrorBudgetBurnsFast',
      times: 14.4,
      long: '1h',
      short: '5m',
      for: '2m',
      severity: 'page',
      summary: 'The API fails so many requests that the budget of a month is gone in two days.',
    }),
    burn({
      name: 'ErrorBudgetBurns',
      times: 6,
      long: '6h',
      short: '30m',
      for: '15m',
      severity: 'page',
      summary: 'The API fails so many requests that the budget of a month is gone in five days.',
    }),
    burn({
      name: 'ErrorBudgetBurnsSlowly',
      times: 1,
      long: '3d',
      short: '6h',
      for: '1h',
      severity: 'ticket',
      summary: 'The API fails more requests than the budget of a month lasts for.',
    }),
    {
      name: 'ApiSlow',
      expr: `${quantile(0.95, `${requests}_bucket{${streams}}`, 'route', '10m')} > 2 and on (route) sum by (route) (increase(${requests}_count[10m])) > 20`,
      for: '10m',
      severity: 'ticket',
      summary: 'Requests to {{ $labels.route }} take more than 2 s.',
      runbook: 'api-slow',
      fires: { when: slowRoute('0+60x40'), at: '30m', labels: { route: '/v1/agents' } },
      silent: { when: slowRoute('0x20 1x40'), at: '30m' },
    },
    {
      name: 'PartDown',
      expr: `min by (dependency) (${api.ready.name}) == 0`,
      for: '1m',
      severity: 'page',
      summary: 'The API does not reach {{ $labels.dependency }}.',
      runbook: 'part-down',
      labels: { layer: 'server' },
      fires: {
        when: { [`${api.ready.name}{dependency="postgres"}`]: '0x20' },
        at: '5m',
        labels: { dependency: 'postgres' },
      },
      silent: { when: { [`${api.ready.name}{dependency="postgres"}`]: '1x20' }, at: '5m' },
    },
    {
      name: 'FiguresOld',
      expr: `time() - min by (from) (${api.figuresAt.name}) > 300 or sum by (from) (increase(${api.figuresFailed.name}[10m])) > 5`,
      for: '2m',
      severity: 'ticket',
      summary:
        'Figures of the installation are not read from {{ $labels.from }} any more: the alerts that rest on them are blind.',
      runbook: 'nothing-is-scraped',
      fires: { when: { [`${api.figuresAt.name}{from="temporal"}`]: '0x30' }, at: '15m', labels: { from: 'temporal' } },
      silent: { when: { [`${api.figuresAt.name}{from="temporal"}`]: '0+60x30' }, at: '15m' },
    },
    {
      name: 'IntentsWait',
      expr: `max(${fleet.oldestIntent.name}) > 120`,
      for: '5m',
      severity: 'page',
      summary: 'Work that was asked for in the database is not started.',
      runbook: 'temporal-workers-gone',
      labels: { layer: 'completions' },
      fires: { when: { [fleet.oldestIntent.name]: '0+60x30' }, at: '15m', labels: {} },
      silent: { when: { [fleet.oldestIntent.name]: '2x30' }, at: '15m' },
    },
    {
      name: 'LogLinesLost',
      expr: `sum by (part, machine) (increase(${api.logLinesLost.name}[10m])) > 0`,
      for: '1m',
      severity: 'ticket',
      summary: 'The {{ $labels.part }} {{ $labels.machine }} finds no room for its log.',
      runbook: 'log-lines-lost',
      fires: {
        when: { [`${api.logLinesLost.name}{part="worker",machine="pc2"}`]: '0x3 3+4x20' },
        at: '10m',
        labels: { part: 'worker', machine: 'pc2' },
      },
      silent: { when: { [`${api.logLinesLost.name}{part="worker",machine="pc2"}`]: '40x30' }, at: '10m' },
    },
    {
      name: 'NothingIsScraped',
      expr: `up{job=~"${jobs.api}|${jobs.workers}|${jobs.core}"} == 0`,
      for: '5m',
      severity: 'ticket',
      summary: '{{ $labels.job }} at {{ $labels.instance }} gives Prometheus no answer.',
      runbook: 'nothing-is-scraped',
      fires: {
        when: { [`up{job="${jobs.api}",instance="a:1"}`]: '0x20' },
        at: '10m',
        labels: { job: jobs.api, instance: 'a:1' },
      },
      silent: { when: { [`up{job="${jobs.api}",instance="a:1"}`]: '1x5 0x2 1x20' }, at: '10m' },
    },
    {
      name: 'ApiGone',
      expr: `absent(up{job="${jobs.api}"}) or sum(up{job="${jobs.api}"}) == 0`,
      for: '2m',
      severity: 'page',
      summary: 'No API answers Prometheus.',
      runbook: 'nothing-is-scraped',
      fires: { when: { 'up{job="prometheus"}': '1x20' }, at: '5m', labels: { job: jobs.api } },
      silent: { when: { [`up{job="${jobs.api}",instance="a:1"}`]: '1x20' }, at: '5m' },
    },
  ],
};

function slowRoute(values: string): Record<string, string> {
  const labels = 'method="GET",route="/v1/agents",status="2xx"';
  return {
    [`${requests}_bucket{${labels},le="1"}`]: '0x60',
    [`${requests}_bucket{${labels},le="5"}`]: values,
    [`${requests}_bucket{${labels},le="+Inf"}`]: values,
    [`${requests}_count{${labels}}`]: values,
  };
}
