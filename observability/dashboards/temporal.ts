import { events, perSecond, quantile, share } from '../promql.ts';
import { buckets, core, counts, ofCore, ofServer, server } from '../temporal-metrics.ts';
import { buildDashboard } from './bridge.ts';
import { commonVariables, figure, graph, heatmap, labelVariable } from './panels.ts';

/** Core says `task_queue`, the server `taskqueue`. */
const queue = 'task_queue=~"$queue"';
const serverQueue = 'taskqueue=~"$queue"';

/** Workers as Temporal's Core sees them, and the server they stand on. */
export function temporalDashboard() {
  return buildDashboard({
    uid: 'soulfra-temporal',
    title: 'Soulfra: Temporal',
    description: 'Workers, workflows and activities as Temporal sees them, and the server below.',
    variables: [...commonVariables(), labelVariable('queue', core.pollers, 'task_queue')],
    rows: [
      {
        title: 'At a glance',
        panels: [
          figure({
            title: 'Queues without a workflow poller',
            description:
              'Queues that workers know and where nobody asks for workflow tasks. Above 0 workflows stand still.',
            unit: 'short',
            red: 1,
            queries: [
              {
                expr: `count(sum by (task_queue) (${ofCore(core.pollers, `poller_type="workflow_task",${queue}`)}) == 0) or vector(0)`,
              },
            ],
            runbook: 'temporal-workers-gone',
          }),
          figure({
            title: 'Non-deterministic tasks, 1 h',
            description: 'Workflow tasks whose history does not fit the code. Anything but 0 is a fault of a release.',
            unit: 'short',
            red: 1,
            queries: [
              {
                expr: `sum(${events(ofCore(core.workflowTaskExecutionFailed, 'failure_reason="NonDeterminismError"'), '1h')}) or vector(0)`,
              },
            ],
            runbook: 'temporal-non-determinism',
          }),
          figure({
            title: 'Workflow tasks wait, p99',
            description:
              'From the task lying in its queue to a worker that has it. Seconds mean that workers are too few.',
            unit: 's',
            amber: 1,
            red: 5,
            queries: [{ expr: quantile(0.99, buckets(ofCore(core.workflowTaskScheduleToStartSeconds, queue)), '') }],
            runbook: 'temporal-workers-behind',
          }),
          figure({
            title: 'Oldest task',
            description: 'Age of the oldest task that no worker has taken, over all queues; 0 where none lies.',
            unit: 's',
            amber: 60,
            red: 600,
            queries: [{ expr: `max(${ofServer(server.backlogAgeSeconds, serverQueue)}) or vector(0)` }],
            runbook: 'queue-backlog',
          }),
          figure({
            title: 'Requests refused',
            description: "Part of the workers' requests that the server refused in the last interval.",
            unit: 'percentunit',
            amber: 0.01,
            red: 0.05,
            queries: [
              {
                expr: share(
                  `sum(rate(${ofCore(core.requestFailures)}[$__rate_interval]))`,
                  `sum(rate(${ofCore(core.requests)}[$__rate_interval]))`,
                ),
              },
            ],
            runbook: 'temporal-requests-fail',
          }),
          figure({
            title: 'Server request, p99',
            description: 'Time of the server for one request, without those that wait for work.',
            unit: 's',
            amber: 0.5,
            red: 2,
            queries: [
              {
                expr: quantile(0.99, buckets(ofServer(server.serviceSeconds, 'operation!~"Poll.*|.*LongPoll.*"')), ''),
              },
            ],
            runbook: 'temporal-server-slow',
          }),
        ],
      },
      {
        title: 'Workers',
        panels: [
          graph({
            title: 'Pollers',
            description:
              'Open polls by kind and queue. None where a worker should be means that it is gone or has left the queue.',
            unit: 'short',
            queries: [
              {
                expr: `sum by (task_queue, poller_type) (${ofCore(core.pollers, queue)})`,
                legend: '{{task_queue}} {{poller_type}}',
              },
            ],
            runbook: 'temporal-workers-gone',
          }),
          graph({
            title: 'Slots used',
            description:
              'Part of the slots that work. A queue of a GPU may stand at 100 %: look at its backlog, not at this.',
            unit: 'percentunit',
            queries: [
              {
                expr: `sum by (task_queue, worker_type) (${ofCore(core.slotsUsed, queue)}) / (sum by (task_queue, worker_type) (${ofCore(core.slotsUsed, queue)}) + sum by (task_queue, worker_type) (${ofCore(core.slotsAvailable, queue)}))`,
                legend: '{{task_queue}} {{worker_type}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Workflow tasks wait, p95',
            description: 'From the task lying in its queue to a worker that has it.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, buckets(ofCore(core.workflowTaskScheduleToStartSeconds, queue)), 'task_queue'),
                legend: '{{task_queue}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Activities wait, p95',
            description:
              'From the activity lying in its queue to a worker that has it. Queues of models wait on purpose.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, buckets(ofCore(core.activityScheduleToStartSeconds, queue)), 'task_queue'),
                legend: '{{task_queue}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
        ],
      },
      {
        title: 'Workflows',
        panels: [
          graph({
            title: 'Ended',
            description: 'Workflows that ended, by how.',
            unit: 'ops',
            queries: [
              { expr: perSecond(ofCore(core.workflowCompleted, queue), 'workflow_type'), legend: '{{workflow_type}}' },
              {
                expr: perSecond(ofCore(core.workflowFailed, queue), 'workflow_type'),
                legend: '{{workflow_type}} failed',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'From start to end, p95',
            description: 'How long workflows take by type; those that wait for people take days.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, buckets(ofCore(core.workflowEndToEndSeconds, queue)), 'workflow_type'),
                legend: '{{workflow_type}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Workflow task, p99',
            description:
              'Time of our own code for one workflow task. Above 10 s the server gives the task to another worker.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.99, buckets(ofCore(core.workflowTaskExecutionSeconds, queue)), 'workflow_type'),
                legend: '{{workflow_type}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Workflows held in memory',
            description:
              'Without them each task replays its whole history. A fall to 0 under load is a worker that began anew.',
            unit: 'short',
            queries: [
              { expr: `sum by (task_queue) (${ofCore(core.stickyCacheSize, queue)})`, legend: '{{task_queue}}' },
            ],
            runbook: 'temporal-workers-behind',
          }),
        ],
      },
      {
        title: 'Activities',
        panels: [
          graph({
            title: 'Begun',
            description: 'Attempts at activities by type.',
            unit: 'ops',
            queries: [
              {
                expr: perSecond(counts(ofCore(core.activityExecutionSeconds, queue)), 'activity_type'),
                legend: '{{activity_type}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Failed attempts',
            description: 'Part of the attempts that failed; Temporal tries most of them again.',
            unit: 'percentunit',
            queries: [
              {
                expr: share(
                  perSecond(ofCore(core.activityExecutionFailed, queue), 'activity_type'),
                  perSecond(counts(ofCore(core.activityExecutionSeconds, queue)), 'activity_type'),
                ),
                legend: '{{activity_type}}',
              },
            ],
            runbook: 'temporal-requests-fail',
          }),
          heatmap({
            title: 'Activities, seconds',
            description: 'How long attempts take, from database steps of milliseconds to model calls of minutes.',
            unit: 's',
            queries: [
              {
                expr: `sum by (le) (increase(${buckets(ofCore(core.activityExecutionSeconds, queue))}[$__rate_interval]))`,
                legend: '{{le}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Activities, p95',
            description: 'Time of one attempt by type.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, buckets(ofCore(core.activityExecutionSeconds, queue)), 'activity_type'),
                legend: '{{activity_type}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
        ],
      },
      {
        title: 'Server',
        panels: [
          graph({
            title: 'Requests',
            description: 'Requests to each of the four services of the server.',
            unit: 'reqps',
            queries: [
              { expr: perSecond(ofServer(server.serviceRequests), 'service_name'), legend: '{{service_name}}' },
            ],
            runbook: 'temporal-server-slow',
          }),
          graph({
            title: 'Errors',
            description: 'By type. NotFound of a workflow that has ended is no fault.',
            unit: 'ops',
            queries: [{ expr: perSecond(ofServer(server.serviceErrors), 'error_type'), legend: '{{error_type}}' }],
            runbook: 'temporal-requests-fail',
          }),
          graph({
            title: 'Database, p95',
            description: "Time of one access to Temporal's own database. It holds back everything above.",
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, buckets(ofServer(server.persistenceSeconds)), 'operation'),
                legend: '{{operation}}',
              },
            ],
            runbook: 'temporal-server-slow',
          }),
          graph({
            title: 'Tasks in queues',
            description: 'Tasks that no worker has taken yet.',
            unit: 'short',
            queries: [
              {
                expr: `sum by (taskqueue, task_type) (${ofServer(server.backlogCount, serverQueue)})`,
                legend: '{{taskqueue}} {{task_type}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Given straight to a waiting worker',
            description: 'Part of the tasks that a worker was waiting for. Low means that workers are too few.',
            unit: 'percentunit',
            queries: [
              {
                expr: share(
                  perSecond(ofServer(server.pollSuccessSync, serverQueue), 'taskqueue'),
                  perSecond(ofServer(server.pollSuccess, serverQueue), 'taskqueue'),
                ),
                legend: '{{taskqueue}}',
              },
            ],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Events of a workflow, p99',
            description:
              'Length of histories when they are written. Ours begin anew long before 10,000; the server ends them at 51,200.',
            unit: 'short',
            queries: [
              { expr: quantile(0.99, buckets(ofServer(server.historyCount)), 'operation'), legend: '{{operation}}' },
            ],
            runbook: 'temporal-server-slow',
          }),
        ],
      },
    ],
  });
}
