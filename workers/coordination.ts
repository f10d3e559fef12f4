import type { DataConverter } from '@temporalio/common';
import {
  type ActivityInterceptorsFactory,
  type NativeConnection,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import { activityInterceptors } from '../activities/interceptors.ts';
import type { FleetMachine } from '../domain/fleet.ts';
import { backupQueue, type Channel, channelQueues, coordinationQueue, machineQueue } from '../domain/task-queues.ts';

type Activities = NonNullable<WorkerOptions['activities']>;

/** Exactly so many polls of a queue at once. `maxConcurrent…Polls` reads as if it did this, and SDK 1.24 does not look at it. */
export function pollers(maximum: number): NonNullable<WorkerOptions['activityTaskPollerBehavior']> {
  return { type: 'simple-maximum', maximum };
}

/** What all Temporal workers of one process have in common. */
export interface SharedByWorkers {
  connection: NativeConnection;
  namespace: string;
  /** Those of the process, which count for its metrics. @default those that turn errors into failures */
  interceptors?: ActivityInterceptorsFactory[];
  /** What payloads pass on their way to Temporal and back. @default none: they are kept as they are */
  dataConverter?: DataConverter;
}

interface QueueWorker extends SharedByWorkers {
  /** `machine/role/pid`. */
  identity: string;
  activities: Activities;
}

/**
 * The worker of workflows and database work. Temporal has no preference among pollers, so a machine's share is the
 * weight of its pollers and slots in fleet.yaml.
 */
export function createCoordinationWorker(
  options: QueueWorker & {
    bundlePath: string;
    sinks?: NonNullable<WorkerOptions['sinks']>;
    weight: NonNullable<FleetMachine['roles']['coordination']>;
    /** Absent: workflows are taken of whatever version they are. */
    version?: NonNullable<WorkerOptions['workerDeploymentOptions']>;
  },
): Promise<Worker> {
  const { weight, bundlePath, interceptors = activityInterceptors, version, ...rest } = options;
  return Worker.create({
    ...rest,
    taskQueue: coordinationQueue,
    workflowBundle: { codePath: bundlePath },
    ...(version && { workerDeploymentOptions: version }),
    interceptors: { activity: interceptors },
    workflowTaskPollerBehavior: pollers(weight.pollers),
    // By default one poll in five asks for workflows that no machine keeps: 8 pollers then weigh no more than 2.
    nonStickyToStickyPollRatio: 0.7,
    maxConcurrentWorkflowTaskExecutions: weight.workflowSlots,
    activityTaskPollerBehavior: pollers(Math.min(weight.pollers, weight.activitySlots)),
    maxConcurrentActivityTaskExecutions: weight.activitySlots,
    maxConcurrentLocalActivityExecutions: weight.workflowSlots,
    maxCachedWorkflows: 400,
    // What a dead worker's cache holds is offered to others after this long.
    stickyQueueScheduleToStartTimeout: '1 second',
    shutdownGraceTime: '10 seconds',
  });
}

/** The machine's own queue: plan changes, drains, and folders of its own that are read. */
export function createMachineQueueWorker(options: QueueWorker & { machineId: string }): Promise<Worker> {
  const { machineId, interceptors = activityInterceptors, ...rest } = options;
  return Worker.create({
    ...rest,
    taskQueue: machineQueue(machineId),
    interceptors: { activity: interceptors },
    activityTaskPollerBehavior: pollers(1),
    maxConcurrentActivityTaskExecutions: 4,
    shutdownGraceTime: '10 seconds',
  });
}

/**
 * Of this worker: others answer slowly, and waiting costs little. Mail goes to one server; endpoints are everybody's, so there is
 * room for many owners who all have their most under way (`mostAtOnceOfOwner`) beside those who look whether there is room.
 */
const channelSlots: Readonly<Record<Channel, number>> = { mail: 8, webhooks: 32, notify: 16 };

/** What leaves for others by one channel, apart from the work of the fleet: a receiver that hangs holds up neither it nor the other channels. */
export function createChannelWorker(options: QueueWorker & { channel: Channel }): Promise<Worker> {
  const { channel, interceptors = activityInterceptors, ...rest } = options;
  return Worker.create({
    ...rest,
    taskQueue: channelQueues[channel],
    interceptors: { activity: interceptors },
    activityTaskPollerBehavior: pollers(1),
    maxConcurrentActivityTaskExecutions: channelSlots[channel],
    shutdownGraceTime: '10 seconds',
  });
}

/** Backs up the data that lies beside this worker, and tries to restore it: one of each at a time. */
export function createBackupWorker(options: QueueWorker): Promise<Worker> {
  const { interceptors = activityInterceptors, ...rest } = options;
  return Worker.create({
    ...rest,
    taskQueue: backupQueue,
    interceptors: { activity: interceptors },
    activityTaskPollerBehavior: pollers(1),
    maxConcurrentActivityTaskExecutions: 2,
    shutdownGraceTime: '10 seconds',
  });
}
