import { ApplicationFailure, CompleteAsyncError, Context } from '@temporalio/activity';
import type { WorkState } from '../domain/states.ts';
import type { WorkStore } from '../stores/work.ts';

/** Local activities of `coordination`. */
export function createWorkActivities({ works }: { works: WorkStore }) {
  return {
    beginWork: ({ workId }: { workId: string }) => works.begin(workId),

    /** Done twice it is what it was the first time. */
    async endWork({
      workId,
      ...end
    }: { workId: string } & Parameters<WorkStore['end']>[1]): Promise<{ state: WorkState }> {
      return { state: await works.end(workId, end) };
    },
  };
}
export type WorkActivities = ReturnType<typeof createWorkActivities>;

/** Tells when work that is offered has been claimed, or has ended. */
export interface OfferWatch {
  /** @returns what it is then; rejects when the signal is aborted */
  until(workId: string, signal: AbortSignal): Promise<WorkState>;
}

export interface WorkOfferDeps {
  works: WorkStore;
  watch: OfferWatch;
  onLost?: (serviceId: string) => void;
}

const heartbeatMs = 1_000;
/** Another worker should offer it at once. */
const handOver = { type: 'WORKER_STOPS', nextRetryDelay: '10 milliseconds' } as const;

/** Of the queue `external_<name>` of a service that claims over HTTP. */
export function createWorkOfferActivities({ works, watch, onLost }: WorkOfferDeps) {
  return {
    /**
     * Offers work until somebody claims it, and leaves it to them then: their heartbeats keep this attempt alive, their answer ends
     * it (api/routes/work-claims.ts). Whatever this process is told last, the row says who has it.
     */
    async offerWork({ workId }: { workId: string }): Promise<{ state: WorkState }> {
      const context = Context.current();
      const { taskToken } = context.info;
      const offer = await works.offer(workId, taskToken);
      if (offer.lost) onLost?.(offer.serviceId);
      if (offer.state !== 'queued') return { state: offer.state };
      context.heartbeat();
      const timer = setInterval(() => context.heartbeat(), heartbeatMs);
      try {
        const state = await watch.until(workId, context.cancellationSignal);
        if (state === 'running') throw new CompleteAsyncError();
        if (state !== 'queued') return { state };
        // Taken from us by a later attempt, or given back after a claim that nobody got.
        throw ApplicationFailure.create({ ...handOver, message: 'the offer was taken back' });
      } catch (err) {
        if (!context.cancellationSignal.aborted || err instanceof CompleteAsyncError) throw err;
        if (!(await works.withdraw(workId, taskToken))) throw new CompleteAsyncError();
        if (context.cancellationDetails?.workerShutdown === true)
          throw ApplicationFailure.create({ ...handOver, message: 'this worker stops' });
        return await context.cancelled;
      } finally {
        clearInterval(timer);
      }
    },
  };
}
export type WorkOfferActivities = ReturnType<typeof createWorkOfferActivities>;
