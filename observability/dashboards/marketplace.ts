import { apiDefinitions as api, installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import { perSecond, quantile, share } from '../promql.ts';
import { buildDashboard } from './bridge.ts';
import { commonVariables, figure, graph, labelVariable } from './panels.ts';

const requests = api.requests.name;
const route = 'route=~"$route"';

/** Whether what is sold is paid, licensed and booked, and how the API serves it. */
export function marketplaceDashboard() {
  return buildDashboard({
    uid: 'soulfra-marketplace',
    title: 'Soulfra: Marketplace and ledger',
    description: 'Purchases, licenses, the books, and how the API serves them.',
    variables: [...commonVariables(), labelVariable('route', `${requests}_count`)],
    rows: [
      {
        title: 'Books',
        panels: [
          figure({
            title: 'Imbalance',
            description:
              'How far all balances are from adding up to nothing, in minor units. Anything but 0 needs a person.',
            unit: 'short',
            red: 1,
            span: 3,
            queries: [{ expr: `max(${fleet.ledgerImbalance.name})` }],
            runbook: 'ledger-imbalance',
          }),
          figure({
            title: 'Discrepancies',
            description: 'Places where the last pass over the books did not add up.',
            unit: 'short',
            red: 1,
            span: 3,
            queries: [{ expr: `max(${fleet.ledgerDiscrepancies.name})` }],
            runbook: 'ledger-imbalance',
          }),
          figure({
            title: 'Last pass over the books',
            description: 'How long ago. There is one each hour.',
            unit: 's',
            amber: 7200,
            red: 86400,
            span: 3,
            queries: [{ expr: `max(${fleet.ledgerReconciled.name})` }],
            runbook: 'ledger-imbalance',
          }),
          figure({
            title: 'Captured, not completed',
            description: 'Purchases that are paid and whose license is not active yet. It is over in seconds.',
            unit: 'short',
            amber: 1,
            span: 3,
            queries: [{ expr: `sum(${fleet.purchases.name}{state="captured"})` }],
            runbook: 'purchases-stuck',
          }),
        ],
      },
      {
        title: 'Sales',
        panels: [
          graph({
            title: 'Purchases of a day',
            description: 'Purchases that are open or ended within the last day, by state.',
            unit: 'short',
            queries: [{ expr: `sum by (state) (${fleet.purchases.name})`, legend: '{{state}}' }],
            runbook: 'purchases-stuck',
          }),
          graph({
            title: 'Sold in a day',
            description: 'Paid for purchases that completed within the last day, in minor units of each currency.',
            unit: 'short',
            queries: [{ expr: `sum by (currency) (${fleet.sold.name})`, legend: '{{currency}}' }],
            runbook: 'purchases-stuck',
          }),
          graph({
            title: 'Licenses',
            description: 'By state.',
            unit: 'short',
            queries: [{ expr: `sum by (state) (${fleet.licenses.name})`, legend: '{{state}}' }],
            runbook: 'purchases-stuck',
          }),
          graph({
            title: 'Mails that wait',
            description: 'Receipts, invitations and links that have not left.',
            unit: 'short',
            queries: [{ expr: `max(${fleet.mails.name})`, legend: 'mails' }],
            runbook: 'channel-down',
          }),
        ],
      },
      {
        title: 'API',
        panels: [
          graph({
            title: 'Requests by answer',
            description: 'Requests a second, by class of the answer.',
            unit: 'reqps',
            queries: [{ expr: perSecond(`${requests}_count{${route}}`, 'status'), legend: '{{status}}' }],
            runbook: 'error-budget',
          }),
          graph({
            title: 'Answers that are our fault',
            description: 'Part of the requests that ended with 5xx. The target of a month is 0.5 %.',
            unit: 'percentunit',
            queries: [
              {
                expr: share(
                  `sum(rate(${requests}_count{${route},status="5xx"}[$__rate_interval]))`,
                  `sum(rate(${requests}_count{${route}}[$__rate_interval]))`,
                ),
                legend: '5xx',
              },
            ],
            runbook: 'error-budget',
          }),
          graph({
            title: 'Time of a request, p95',
            description: 'From the request to the end of the answer, by route. Streams are open on purpose.',
            unit: 's',
            queries: [{ expr: quantile(0.95, `${requests}_bucket{${route}}`, 'route'), legend: '{{route}}' }],
            runbook: 'api-slow',
          }),
          graph({
            title: 'What the API stands on',
            description: 'Whether Postgres, Temporal and Redis answered just now.',
            unit: 'bool',
            queries: [{ expr: `min by (dependency) (${api.ready.name})`, legend: '{{dependency}}' }],
            runbook: 'part-down',
          }),
          graph({
            title: 'Open streams',
            description: 'Readers of events and of answers.',
            unit: 'short',
            queries: [
              { expr: `sum(${api.streams.name})`, legend: 'events' },
              { expr: `sum(${api.answerStreams.name})`, legend: 'answers' },
            ],
            runbook: 'api-slow',
          }),
          graph({
            title: 'Longest write',
            description: 'How long the oldest open write transaction has held back readers of events.',
            unit: 's',
            queries: [{ expr: `max(${fleet.eventHorizon.name})`, legend: 'seconds' }],
            runbook: 'api-slow',
          }),
        ],
      },
    ],
  });
}
