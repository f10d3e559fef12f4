import { installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import { workerDefinitions as worker } from '../metrics/worker-definitions.ts';
import { perSecond, quantile } from '../promql.ts';
import { buildDashboard } from './bridge.ts';
import { commonVariables, figure, graph, labelVariable } from './panels.ts';

const channel = 'channel=~"$channel"';
/** What a post passes through on its way out, and what comes back. */
const posting = 'activity=~"tryPost|tryDelivery|tryMail|readReplies"';

/** Posts: what waits for a word, what goes out, what may have gone out, and the channels. */
export function dropsDashboard() {
  return buildDashboard({
    uid: 'soulfra-drops',
    title: 'Soulfra: Drops and channels',
    description: 'Posts on their way, posts in doubt, and the channels they go by.',
    variables: [...commonVariables(), labelVariable('channel', fleet.deliveries.name)],
    rows: [
      {
        title: 'At a glance',
        panels: [
          figure({
            title: 'Wait for a word',
            description: 'Drops that a person has to approve.',
            unit: 'short',
            amber: 1,
            span: 3,
            queries: [{ expr: `sum(${fleet.drops.name}{state="awaiting_approval"})` }],
            runbook: 'unconfirmed-drops',
          }),
          figure({
            title: 'In doubt',
            description:
              'Posts that left without an answer, of which nobody has said yet what is true. They are never posted again by themselves.',
            unit: 'short',
            red: 1,
            span: 3,
            queries: [{ expr: `max(${fleet.unconfirmed.name})` }],
            runbook: 'unconfirmed-drops',
          }),
          figure({
            title: 'Channels stopped',
            description: 'Channels that post nothing, by a person or by a fault.',
            unit: 'short',
            amber: 1,
            span: 3,
            queries: [{ expr: `sum(${fleet.channels.name}{state="stopped"})` }],
            runbook: 'channel-down',
          }),
          figure({
            title: 'Failed in a day',
            description: 'Deliveries that ended without a post within the last day.',
            unit: 'short',
            amber: 1,
            span: 3,
            queries: [{ expr: `sum(${fleet.deliveries.name}{state="failed",${channel}})` }],
            runbook: 'channel-down',
          }),
        ],
      },
      {
        title: 'Drops',
        panels: [
          graph({
            title: 'Open drops',
            description: 'Drops that have not ended, by state.',
            unit: 'short',
            queries: [{ expr: `sum by (state) (${fleet.drops.name})`, legend: '{{state}}' }],
            runbook: 'unconfirmed-drops',
          }),
          graph({
            title: 'Deliveries',
            description: 'Deliveries that are open or ended within the last day, by state.',
            unit: 'short',
            queries: [{ expr: `sum by (state) (${fleet.deliveries.name}{${channel}})`, legend: '{{state}}' }],
            runbook: 'channel-down',
          }),
          graph({
            title: 'Deliveries by channel',
            description: 'Published within the last day, by kind of channel.',
            unit: 'short',
            queries: [
              {
                expr: `sum by (channel) (${fleet.deliveries.name}{state="published",${channel}})`,
                legend: '{{channel}}',
              },
            ],
            runbook: 'channel-down',
          }),
          graph({
            title: 'In doubt by channel',
            description: 'Deliveries without an answer, open or of the last day, by kind of channel.',
            unit: 'short',
            queries: [
              {
                expr: `sum by (channel) (${fleet.deliveries.name}{state="unconfirmed",${channel}})`,
                legend: '{{channel}}',
              },
            ],
            runbook: 'unconfirmed-drops',
          }),
        ],
      },
      {
        title: 'Channels',
        panels: [
          graph({
            title: 'Channels',
            description: 'By kind, and by whether they post.',
            unit: 'short',
            queries: [
              { expr: `sum by (channel, state) (${fleet.channels.name}{${channel}})`, legend: '{{channel}} {{state}}' },
            ],
            runbook: 'channel-down',
          }),
          graph({
            title: 'What is sent, p95',
            description: 'Time of one try at a post, a mail or a webhook. The other side sets it.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, `${worker.activities.name}_bucket{${posting}}`, 'activity'),
                legend: '{{activity}}',
              },
            ],
            runbook: 'channel-down',
          }),
          graph({
            title: 'Tries',
            description: 'Tries at posts, mails and webhooks, by outcome.',
            unit: 'ops',
            queries: [
              {
                expr: perSecond(`${worker.activities.name}_count{${posting}}`, 'activity, outcome'),
                legend: '{{activity}} {{outcome}}',
              },
            ],
            runbook: 'channel-down',
          }),
          graph({
            title: 'Age of the queues out',
            description:
              'How long the oldest post, mail or webhook has waited for a worker. A channel’s own rate makes it wait, too.',
            unit: 's',
            queries: [{ expr: `max by (queue) (${fleet.backlogAge.name}{queue=~"channel_.*"})`, legend: '{{queue}}' }],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Mails that wait',
            description: 'Mails that have not left.',
            unit: 'short',
            queries: [{ expr: `max(${fleet.mails.name})`, legend: 'mails' }],
            runbook: 'channel-down',
          }),
          graph({
            title: 'Waits for a person, by kind',
            description: 'Open notices by kind; one of which there is none has no line.',
            unit: 'short',
            queries: [{ expr: `sum by (kind) (${fleet.inbox.name})`, legend: '{{kind}}' }],
            runbook: 'unconfirmed-drops',
          }),
        ],
      },
    ],
  });
}
