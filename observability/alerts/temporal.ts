import { events, quantile, share } from '../promql.ts';
import { buckets, core, jobs, ofCore, ofServer, server } from '../temporal-metrics.ts';
import type { AlertGroup } from './alert.ts';

const coreLabels = 'service_name="temporal-core-sdk"';
const window = '5m';
const coordinationPollers = `${core.pollers}{${coreLabels},task_queue="coordination",poller_type="workflow_task"}`;
const rate = (selector: string, by: string) => `sum by (${by}) (rate(${selector}[${window}]))`;
/** Cumulative buckets of one observation a second, all of them in the bucket that ends at `le`. */
const histogram = (metric: string, labels: string, le: string, all = ['0.1', '1', '5', '10', '60', '+Inf']) =>
  Object.fromEntries(
    all.map((end) => [
      `${metric}_bucket{${labels},le="${end}"}`,
      end === '+Inf' || (le !== '+Inf' && Number(end) >= Number(le)) ? '0+60x30' : '0x30',
    ]),
  );

/**
 * Temporal's published set for workers, with the labels that Core and server really have: Core says `sticky_workflow_task`, the
 * server `taskqueue`, and both export `temporal_num_pollers`. Left out: free slots at 0, where a GPU with one slot stands by
 * design (the age of the backlog tells instead).
 */
export const temporalAlerts: AlertGroup = {
  name: 'temporal',
  alerts: [
    {
      name: 'TemporalWorkersGone',
      // A worker that is gone takes its series with it: those of other queues then say nothing of this one.
      expr: `sum by (poller_type) (${ofCore(core.pollers, 'task_queue="coordination"')}) == 0 or max by (poller_type) (absent(${ofCore(core.pollers, 'task_queue="coordination",poller_type="workflow_task"')}))`,
      for: '5m',
      severity: 'page',
      summary: 'No worker polls the coordination queue: no workflow goes on.',
      runbook: 'temporal-workers-gone',
      labels: { layer: 'workers' },
      fires: {
        when: { [coordinationPollers]: '2x3 0x30' },
        at: '12m',
        labels: { poller_type: 'workflow_task' },
      },
      alsoFires: [
        {
          as: 'the series of the queue vanish and other machines poll on',
          when: {
            [`up{job="${jobs.temporal}"}`]: '1x30',
            [coordinationPollers]: '2x3 stale',
            [`${core.pollers}{${coreLabels},task_queue="coordination",poller_type="activity_task"}`]: '5x3 stale',
            [`${core.pollers}{${coreLabels},task_queue="inference_24g_qwen32b_q4",poller_type="activity_task"}`]:
              '1x30',
          },
          at: '12m',
          labels: { poller_type: 'workflow_task' },
        },
        {
          as: 'no worker was ever seen, with a server outside that nobody scrapes',
          when: { [`up{job="${jobs.api}"}`]: '1x30' },
          at: '12m',
          labels: { poller_type: 'workflow_task' },
        },
      ],
      silent: {
        when: {
          [`up{job="${jobs.temporal}"}`]: '1x30',
          // One of two machines restarts.
          [coordinationPollers]: '2x30',
          [`${core.pollers}{${coreLabels},task_queue="coordination",poller_type="workflow_task",machine="b"}`]:
            '2x3 stale',
          // A queue that a plan gave up has no poller, and that is right.
          [`${core.pollers}{${coreLabels},task_queue="inference_24g_old_q4",poller_type="activity_task"}`]: '0x30',
        },
        at: '10m',
      },
    },
    {
      name: 'WorkflowVersionRefused',
      expr: 'min by (machine) (soulfra_workflow_version_current) == 0',
      for: '5m',
      severity: 'page',
      summary:
        'Temporal does not take the version of {{ $labels.machine }}, which leads, as the current one: no workflow goes on by it.',
      runbook: 'temporal-workers-gone',
      labels: { layer: 'workers' },
      fires: { when: { 'soulfra_workflow_version_current{machine="a"}': '0x20' }, at: '8m', labels: { machine: 'a' } },
      // Its first poll comes before that.
      silent: { when: { 'soulfra_workflow_version_current{machine="a"}': '0 1x20' }, at: '8m' },
    },
    {
      name: 'TemporalNonDeterminism',
      expr: `sum by (workflow_type) (${events(ofCore(core.workflowTaskExecutionFailed, 'failure_reason="NonDeterminismError"'), '10m')}) > 0`,
      for: '1m',
      severity: 'page',
      summary: 'Workflows of type {{ $labels.workflow_type }} do not fit the code that runs: they stand still.',
      runbook: 'temporal-non-determinism',
      fires: {
        when: { [failedTask('NonDeterminismError')]: '0 0 1x20' },
        at: '8m',
        labels: { workflow_type: 'publishDrop' },
      },
      alsoFires: [
        {
          as: 'its series begins with the first event',
          when: { [failedTask('NonDeterminismError')]: '_ _ _ 1x20' },
          at: '6m',
          labels: { workflow_type: 'publishDrop' },
        },
        {
          as: 'it comes again after the worker was started anew',
          when: { [failedTask('NonDeterminismError')]: '1x20 stale _ 1x10' },
          at: '24m',
          labels: { workflow_type: 'publishDrop' },
        },
      ],
      silent: { when: { [failedTask('WorkflowError')]: '0+1x30' }, at: '8m' },
    },
    {
      name: 'TemporalPayloadTooLarge',
      expr: `sum by (workflow_type) (${events(ofCore(core.workflowTaskExecutionFailed, 'failure_reason="GrpcMessageTooLarge"'), '10m')}) > 0`,
      for: '1m',
      severity: 'page',
      summary: 'A workflow of type {{ $labels.workflow_type }} sends more than the server takes in one message.',
      runbook: 'temporal-requests-fail',
      fires: {
        when: { [failedTask('GrpcMessageTooLarge')]: '0 0 1x20' },
        at: '8m',
        labels: { workflow_type: 'publishDrop' },
      },
      alsoFires: [
        {
          as: 'its series begins with the first event',
          when: { [failedTask('GrpcMessageTooLarge')]: '_ _ _ 1x20' },
          at: '6m',
          labels: { workflow_type: 'publishDrop' },
        },
      ],
      // Long ago.
      silent: { when: { [failedTask('GrpcMessageTooLarge')]: '1x40' }, at: '25m' },
    },
    {
      name: 'TemporalWorkflowTasksWait',
      expr: `${quantile(0.99, buckets(ofCore(core.workflowTaskScheduleToStartSeconds)), 'task_queue', window)} > 5`,
      for: '5m',
      severity: 'page',
      summary: 'Workflow tasks on {{ $labels.task_queue }} wait more than 5 s for a worker.',
      runbook: 'temporal-workers-behind',
      labels: { layer: 'latency' },
      fires: {
        when: histogram(core.workflowTaskScheduleToStartSeconds, `${coreLabels},task_queue="coordination"`, '60'),
        at: '15m',
        labels: { task_queue: 'coordination' },
      },
      silent: {
        when: histogram(core.workflowTaskScheduleToStartSeconds, `${coreLabels},task_queue="coordination"`, '1'),
        at: '15m',
      },
    },
    {
      name: 'TemporalWorkflowTasksSlow',
      expr: `${quantile(0.99, buckets(ofCore(core.workflowTaskExecutionSeconds)), 'workflow_type', window)} > 10`,
      for: '5m',
      severity: 'ticket',
      summary:
        'A workflow task of {{ $labels.workflow_type }} takes more than 10 s: the server gives it to another worker.',
      runbook: 'temporal-workers-behind',
      labels: { layer: 'latency' },
      fires: {
        when: histogram(core.workflowTaskExecutionSeconds, `${coreLabels},workflow_type="reflectFleet"`, '60'),
        at: '15m',
        labels: { workflow_type: 'reflectFleet' },
      },
      silent: {
        when: histogram(core.workflowTaskExecutionSeconds, `${coreLabels},workflow_type="reflectFleet"`, '0.1'),
        at: '15m',
      },
    },
    {
      name: 'TemporalCompletionsStopped',
      expr: `sum by (task_queue) (rate(${ofCore(core.workflowTasksPolled)}[${window}])) == 0 and on (task_queue) label_replace(sum by (taskqueue) (${ofServer(server.backlogCount, 'task_type="Workflow"')}) > 0, "task_queue", "$1", "taskqueue", "(.*)")`,
      for: '5m',
      severity: 'page',
      summary: 'Workflow tasks lie on {{ $labels.task_queue }} and no worker takes one.',
      runbook: 'temporal-workers-behind',
      labels: { layer: 'completions' },
      fires: {
        when: {
          [`${core.workflowTasksPolled}{${coreLabels},task_queue="coordination"}`]: '50x30',
          [`${server.backlogCount}{job="${jobs.temporal}",taskqueue="coordination",task_type="Workflow",partition="0"}`]:
            '7x30',
        },
        at: '15m',
        labels: { task_queue: 'coordination' },
      },
      silent: {
        // Nothing to do is no fault.
        when: {
          [`${core.workflowTasksPolled}{${coreLabels},task_queue="coordination"}`]: '50x30',
          [`${server.backlogCount}{job="${jobs.temporal}",taskqueue="coordination",task_type="Workflow",partition="0"}`]:
            '0x30',
        },
        at: '15m',
      },
    },
    {
      name: 'TemporalStickyCacheEmpty',
      expr: `sum by (task_queue) (${ofCore(core.stickyCacheSize)}) == 0 and on (task_queue) ${rate(ofCore(core.workflowTasksPolled), 'task_queue')} > 1`,
      for: '15m',
      severity: 'ticket',
      summary:
        'Workers on {{ $labels.task_queue }} hold no workflow in memory under load: each task replays its history.',
      runbook: 'temporal-workers-behind',
      fires: {
        when: {
          [`${core.stickyCacheSize}{${coreLabels},task_queue="coordination"}`]: '0x40',
          [`${core.workflowTasksPolled}{${coreLabels},task_queue="coordination"}`]: '0+600x40',
        },
        at: '30m',
        labels: { task_queue: 'coordination' },
      },
      silent: {
        when: {
          [`${core.stickyCacheSize}{${coreLabels},task_queue="coordination"}`]: '0x40',
          [`${core.workflowTasksPolled}{${coreLabels},task_queue="coordination"}`]: '0+1x40',
        },
        at: '30m',
      },
    },
    {
      name: 'TemporalOverloaded',
      expr: `sum by (operation) (${events(ofCore(core.requestFailures, 'status_code="RESOURCE_EXHAUSTED",operation=~"(Signal.*|Start.*|Update)WorkflowExecution.*|ExecuteMultiOperation"'), window)}) > 0`,
      for: '1m',
      severity: 'page',
      summary: 'The server refuses {{ $labels.operation }} since it is asked too much.',
      runbook: 'temporal-requests-fail',
      fires: {
        when: { [failure('StartWorkflowExecution', 'RESOURCE_EXHAUSTED')]: '0+5x20' },
        at: '8m',
        labels: { operation: 'StartWorkflowExecution' },
      },
      alsoFires: [
        {
          as: 'its series begins with the first event',
          when: { [failure('StartWorkflowExecution', 'RESOURCE_EXHAUSTED')]: '_ _ _ 1x20' },
          at: '6m',
          labels: { operation: 'StartWorkflowExecution' },
        },
      ],
      silent: { when: { [failure('PollActivityTaskQueue', 'RESOURCE_EXHAUSTED')]: '0+5x20' }, at: '8m' },
    },
    {
      // More than a few and for a while: how a series begins is no matter here.
      name: 'TemporalAnswersComeTooLate',
      expr: `sum by (operation) (increase(${ofCore(core.requestFailures, 'status_code="NOT_FOUND",operation=~"Respond.*|RecordActivityTaskHeartbeat"')}[${window}])) > 5`,
      for: '5m',
      severity: 'ticket',
      summary:
        'Answers by {{ $labels.operation }} come after the server gave the task away: attempts run past their time.',
      runbook: 'temporal-requests-fail',
      fires: {
        when: { [failure('RespondActivityTaskCompleted', 'NOT_FOUND')]: '0+3x30' },
        at: '15m',
        labels: { operation: 'RespondActivityTaskCompleted' },
      },
      silent: { when: { [failure('RespondActivityTaskCompleted', 'NOT_FOUND')]: '0x10 1x20' }, at: '15m' },
    },
    {
      name: 'TemporalServerFaults',
      expr: `sum by (operation, status_code) (${events(ofCore(core.requestFailures, 'status_code=~"UNIMPLEMENTED|INTERNAL|UNKNOWN|DATA_LOSS"'), window)}) > 0`,
      for: '2m',
      severity: 'page',
      summary: 'The server answers {{ $labels.operation }} with {{ $labels.status_code }}.',
      runbook: 'temporal-requests-fail',
      fires: {
        when: { [failure('RespondWorkflowTaskCompleted', 'INTERNAL')]: '0+1x20' },
        at: '8m',
        labels: { operation: 'RespondWorkflowTaskCompleted', status_code: 'INTERNAL' },
      },
      alsoFires: [
        {
          as: 'its series begins with the first event',
          when: { [failure('RespondWorkflowTaskCompleted', 'INTERNAL')]: '_ _ _ 1x20' },
          at: '6m',
          labels: { operation: 'RespondWorkflowTaskCompleted', status_code: 'INTERNAL' },
        },
      ],
      silent: { when: { [failure('PollWorkflowTaskQueue', 'UNAVAILABLE')]: '0+1x20' }, at: '8m' },
    },
    {
      name: 'TemporalRequestsSlow',
      expr: `${quantile(0.99, buckets(ofCore(core.requestSeconds)), 'operation', window)} > 2`,
      for: '5m',
      severity: 'ticket',
      summary: 'The server takes more than 2 s for {{ $labels.operation }}.',
      runbook: 'temporal-server-slow',
      labels: { layer: 'latency' },
      fires: {
        when: histogram(core.requestSeconds, `${coreLabels},operation="RespondWorkflowTaskCompleted"`, '10'),
        at: '15m',
        labels: { operation: 'RespondWorkflowTaskCompleted' },
      },
      silent: {
        when: histogram(core.requestSeconds, `${coreLabels},operation="RespondWorkflowTaskCompleted"`, '1'),
        at: '15m',
      },
    },
    {
      // The published 10 a second is more than this fleet ever attempts, so that a share takes its place.
      name: 'TemporalActivitiesFail',
      expr: `${share(
        rate(ofCore(core.activityExecutionFailed), 'activity_type'),
        rate(ofCore(core.activityTasksReceived), 'activity_type'),
      )} > 0.2 and on (activity_type) ${rate(ofCore(core.activityExecutionFailed), 'activity_type')} > 0.05`,
      for: '5m',
      severity: 'ticket',
      summary: 'More than a fifth of the attempts at {{ $labels.activity_type }} fail.',
      runbook: 'temporal-requests-fail',
      fires: {
        when: {
          [`${core.activityExecutionFailed}{${coreLabels},activity_type="reflect",task_queue="inference_8g_llama8b_q4"}`]:
            '0+30x30',
          [`${core.activityTasksReceived}{${coreLabels},activity_type="reflect",task_queue="inference_8g_llama8b_q4"}`]:
            '0+60x30',
        },
        at: '15m',
        labels: { activity_type: 'reflect' },
      },
      silent: {
        // One of two in a quiet night is no trend.
        when: {
          [`${core.activityExecutionFailed}{${coreLabels},activity_type="reflect",task_queue="inference_8g_llama8b_q4"}`]:
            '0x5 1x25',
          [`${core.activityTasksReceived}{${coreLabels},activity_type="reflect",task_queue="inference_8g_llama8b_q4"}`]:
            '0x5 2x25',
        },
        at: '15m',
      },
    },
    {
      name: 'TemporalServerDown',
      expr: `up{job="${jobs.temporal}"} == 0`,
      for: '2m',
      severity: 'page',
      summary: "Temporal's server does not answer Prometheus.",
      runbook: 'temporal-server-slow',
      labels: { layer: 'server' },
      fires: {
        when: { [`up{job="${jobs.temporal}",instance="a:1"}`]: '0x30' },
        at: '5m',
        labels: { job: jobs.temporal, instance: 'a:1' },
      },
      silent: { when: { [`up{job="${jobs.temporal}",instance="a:1"}`]: '1x30' }, at: '5m' },
    },
  ],
};

function failedTask(reason: string): string {
  return `${core.workflowTaskExecutionFailed}{${coreLabels},workflow_type="publishDrop",task_queue="coordination",failure_reason="${reason}"}`;
}

function failure(operation: string, status: string): string {
  return `${core.requestFailures}{${coreLabels},operation="${operation}",status_code="${status}"}`;
}
