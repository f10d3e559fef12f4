/**
 * What workers export of Temporal's Core, with suffixes and seconds on (workers/runtime.ts). The server exports some of the same
 * names for its own inner workers, so that each is asked for with Core's service name.
 */
export const core = {
  activityExecutionFailed: 'temporal_activity_execution_failed_total',
  activityExecutionSeconds: 'temporal_activity_execution_latency_seconds',
  activityScheduleToStartSeconds: 'temporal_activity_schedule_to_start_latency_seconds',
  activityTasksReceived: 'temporal_activity_task_received_total',
  pollers: 'temporal_num_pollers',
  requestFailures: 'temporal_request_failure_total',
  requestSeconds: 'temporal_request_latency_seconds',
  requests: 'temporal_request_total',
  slotsAvailable: 'temporal_worker_task_slots_available',
  slotsUsed: 'temporal_worker_task_slots_used',
  stickyCacheHits: 'temporal_sticky_cache_hit_total',
  stickyCacheMisses: 'temporal_sticky_cache_miss_total',
  stickyCacheSize: 'temporal_sticky_cache_size',
  workflowCompleted: 'temporal_workflow_completed_total',
  workflowFailed: 'temporal_workflow_failed_total',
  workflowEndToEndSeconds: 'temporal_workflow_endtoend_latency_seconds',
  workflowTaskExecutionFailed: 'temporal_workflow_task_execution_failed_total',
  workflowTaskExecutionSeconds: 'temporal_workflow_task_execution_latency_seconds',
  workflowTaskReplaySeconds: 'temporal_workflow_task_replay_latency_seconds',
  workflowTaskScheduleToStartSeconds: 'temporal_workflow_task_schedule_to_start_latency_seconds',
  workflowTasksPolled: 'temporal_workflow_task_queue_poll_succeed_total',
} as const;

/** What Temporal's server exports: no prefix, `taskqueue` where Core says `task_queue`, the `job` of deploy/prometheus/prometheus.yaml. */
export const server = {
  backlogAgeSeconds: 'approximate_backlog_age_seconds',
  backlogCount: 'approximate_backlog_count',
  historyCount: 'history_count',
  persistenceErrors: 'persistence_error_with_type',
  persistenceSeconds: 'persistence_latency',
  persistenceRequests: 'persistence_requests',
  pollSuccess: 'poll_success',
  pollSuccessSync: 'poll_success_sync',
  serviceErrors: 'service_error_with_type',
  serviceSeconds: 'service_latency',
  serviceRequests: 'service_requests',
} as const;

/** Names of the jobs in deploy/prometheus/prometheus.yaml. */
export const jobs = {
  api: 'soulfra-api',
  workers: 'soulfra-workers',
  core: 'temporal-core',
  temporal: 'temporal-server',
} as const;

/** A selector of Core's own series, without those that the server exports under the same name. */
export function ofCore(metric: (typeof core)[keyof typeof core], matchers = ''): string {
  return `${metric}{service_name="temporal-core-sdk"${matchers === '' ? '' : `,${matchers}`}}`;
}

export function ofServer(metric: (typeof server)[keyof typeof server], matchers = ''): string {
  return `${metric}{job="${jobs.temporal}"${matchers === '' ? '' : `,${matchers}`}}`;
}

/** The buckets of a histogram, below either of the two. */
export function buckets(selector: string): string {
  return selector.replace('{', '_bucket{');
}
export function counts(selector: string): string {
  return selector.replace('{', '_count{');
}
