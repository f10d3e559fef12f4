import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowIdReusePolicy } from '@temporalio/client';
import type { Logger } from 'pino';
import { earlyGlobePeriod, firstGlobePeriod, globeWorkflowId } from '../domain/ids.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { windowOf } from '../domain/workflow-window.ts';
import { withWindow } from '../integrations/temporal-window.ts';
import type { Intent, IntentStore } from '../stores/intents.ts';
import type { ListenerFactory } from '../stores/listen.ts';

const sweepEveryMs = 10_000;
/** Temporal answers within this or the intent waits for the next sweep: the row is locked meanwhile, and a transaction may idle 10 s. */
const startWithinMs = 5_000;
/** Of one id, and asked for until one stands: one that found nothing to place is done, and has not done what the fact needs. */
const askedAnew: ReadonlySet<string> = new Set([firstGlobePeriod, earlyGlobePeriod].map(globeWorkflowId));

/**
 * Starts what transactions have asked for: woken by NOTIFY, and every 10 s for what a lost NOTIFY left lying. Now and then it has what
 * should have gone on asked for anew: here and not in a workflow, as it is for when Temporal has lost them.
 */
export function relayIntents({
  client,
  intents,
  listen,
  log,
  resumeOverdue = () => Promise.resolve(),
  lookEveryMs = 300_000,
}: {
  client: Client;
  intents: IntentStore;
  listen: ListenerFactory;
  log: Logger;
  resumeOverdue?: () => Promise<unknown>;
  lookEveryMs?: number;
}) {
  let stopped = false;
  let looking: Promise<unknown> | undefined;
  let wanted = false;
  let running: Promise<void> | undefined;

  async function start(intent: Intent): Promise<void> {
    try {
      await client.withDeadline(Date.now() + startWithinMs, () =>
        withWindow(windowOf(intent.type, intent.args), (window) =>
          client.workflow.start(intent.type, {
            ...window,
            workflowId: intent.workflowId,
            taskQueue: coordinationQueue,
            args: intent.args,
            // One that failed or was terminated has not done what the fact needs; one that is done has.
            workflowIdReusePolicy: askedAnew.has(intent.workflowId)
              ? WorkflowIdReusePolicy.ALLOW_DUPLICATE
              : WorkflowIdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
          }),
        ),
      );
      log.info({ workflowId: intent.workflowId }, 'intent started');
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
    }
  }

  async function drain(): Promise<void> {
    while (wanted && !stopped) {
      wanted = false;
      try {
        while (!stopped && (await intents.take(start)));
      } catch (err) {
        // Temporal or Postgres is away: the intent stays, and the next sweep tries again.
        log.warn({ err }, 'intents not relayed');
      }
    }
  }

  function wake(): void {
    wanted = true;
    running ??= drain().finally(() => {
      running = undefined;
      if (wanted && !stopped) wake();
    });
  }

  function look(): void {
    looking ??= resumeOverdue()
      .catch((err: unknown) => log.warn({ err }, 'overdue workflows not looked for'))
      .finally(() => {
        looking = undefined;
      });
  }

  const listener = listen('intents', wake);
  const looks = setInterval(look, lookEveryMs);
  const timer = setInterval(wake, sweepEveryMs);
  wake();
  return {
    async stop(): Promise<void> {
      stopped = true;
      clearInterval(timer);
      clearInterval(looks);
      await looking;
      await listener.close();
      await running;
    },
  };
}
