import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { isDomainError } from '../domain/errors.ts';
import type { PendingActivity, RunWhyFacts } from '../domain/run-why.ts';

const deadlineMs = 3_000;
/** PENDING_ACTIVITY_STATE_STARTED of temporal.api.enums.v1. */
const startedState = 2;
const mostFailure = 300;

/** What Temporal says of a workflow now: null where it knows none, undefined where it gives no answer in time. */
export function createWorkflowLook(client: Client) {
  return async (workflowId: string): Promise<RunWhyFacts['workflow']> => {
    try {
      const { raw, status } = await client.withDeadline(Date.now() + deadlineMs, () =>
        client.workflow.getHandle(workflowId).describe(),
      );
      const activities = await Promise.all((raw.pendingActivities ?? []).map((activity) => pending(client, activity)));
      return { status: status.name, activities };
    } catch (err) {
      // Why Temporal gave none is told by /v1/health/ready; here the rows answer all the same.
      return err instanceof WorkflowNotFoundError ? null : undefined;
    }
  };
}

type Raw = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['describe']>>['raw'];

type RawPending = NonNullable<Raw['pendingActivities']>[number];

async function pending(client: Client, activity: RawPending): Promise<PendingActivity> {
  const started = Number(activity.state) === startedState;
  const at = (started ? activity.lastStartedTime : null) ?? activity.scheduledTime;
  return {
    name: activity.activityType?.name ?? 'a step',
    attempt: Number(activity.attempt ?? 1),
    started,
    since: at?.seconds === undefined || at.seconds === null ? null : new Date(Number(at.seconds) * 1000).toISOString(),
    worker: activity.lastWorkerIdentity || null,
    lastFailure: (await failureText(client, activity.lastFailure))?.slice(0, mostFailure) ?? null,
  };
}

/** Where failures are encoded, their words are a payload; one whose key is missing here says what Temporal says of it. */
async function failureText({ options }: Client, failure: RawPending['lastFailure']): Promise<string | undefined> {
  const { payloadCodecs, payloadConverter } = options.loadedDataConverter;
  let attributes = failure?.encodedAttributes ?? undefined;
  if (attributes === undefined) return failure?.message ?? undefined;
  try {
    for (const codec of payloadCodecs.toReversed()) [attributes] = await codec.decode([attributes!]);
  } catch (err) {
    if (!isDomainError(err)) throw err;
    return `${failure?.message ?? ''} (${err.message})`;
  }
  return payloadConverter.fromPayload<{ message?: string }>(attributes!).message;
}

/** Where Temporal's UI shows a workflow; null where the API is not told of a UI. */
export function createTemporalLinks({ temporal, temporalUi }: { temporal: Client; temporalUi?: string | undefined }) {
  const base = temporalUi?.replace(/\/+$/, '');
  const namespace = encodeURIComponent(temporal.options.namespace);
  return (workflowId: string): { temporal: string | null } => ({
    temporal: base === undefined ? null : `${base}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}`,
  });
}
