import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  defineSignal,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { PurchaseActivities } from '../activities/purchases.ts';
import { paymentChangedSignal } from '../domain/payments.ts';
import { creditsPayment, isEndedPurchase } from '../domain/purchases.ts';
import type { PurchaseState } from '../domain/states.ts';
import { reasonOf } from './inference-ladder.ts';

export interface PurchaseLicenseInput {
  purchaseId: string;
  /** Who buys. */
  ownerId: string;
  listingId: string;
  licenseKind: string;
  payment: string;
  requestHash: string;
  madeBy: string;
  buyerAgentId?: string;
  price?: { amount: number; currency: string };
}
export interface PurchaseLicenseResult {
  purchaseId: string;
  state: PurchaseState;
  licenseId: string | null;
}

/** Steps that only touch Postgres. What is tried so often in vain is stuck, and told. */
const steps = proxyLocalActivities<PurchaseActivities>({
  startToCloseTimeout: '12 seconds',
  retry: { initialInterval: '200 milliseconds', maximumInterval: '2 seconds', maximumAttempts: 15 },
});
const { tellStuck, tellUnstuck } = proxyLocalActivities<PurchaseActivities>({
  startToCloseTimeout: '12 seconds',
  retry: { maximumInterval: '10 seconds' },
});
/** These leave the database. Canceled, they are waited for: an authorization that nobody waits for would come after its undo. */
const { authorizePayment, lookAtPayment, voidPayment, capturePayment } = proxyActivities<PurchaseActivities>({
  startToCloseTimeout: '30 seconds',
  scheduleToCloseTimeout: '5 minutes',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', maximumInterval: '20 seconds', maximumAttempts: 12 },
});

/** An event of the provider may be lost. */
const lookAgainMs = 600_000;

/** Pauses between rounds of a stuck step, in milliseconds. */
const pauses = { least: 5_000, most: 3_600_000 };

/**
 * One purchase. By credits it is one transaction in one step. By a provider: price and split frozen → money authorized →
 * license pending → captured → license active, money split. Each undo is registered before its step, since a step that broke
 * off may have happened. Capture is the pivot: before it all is undone, after it there is only forward.
 */
export async function purchaseLicense(input: PurchaseLicenseInput): Promise<PurchaseLicenseResult> {
  const { purchaseId } = input;
  /** A notice is open: some step does not come through. */
  let told = false;
  // One transaction has happened or not, whoever cancels meanwhile.
  if (input.payment === creditsPayment)
    return CancellationScope.nonCancellable(() => begin(() => steps.settleByCredits(input)));
  const opened = await CancellationScope.nonCancellable(() => begin(() => steps.openPurchase(input)));
  if (isEndedPurchase(opened)) return opened;

  const undos: Array<{ name: string; undo: () => Promise<unknown> }> = [];
  try {
    undos.unshift({ name: 'voidPayment', undo: () => voidPayment({ purchaseId }) });
    await untilAuthorized();
    undos.unshift({ name: 'dropLicense', undo: () => steps.dropLicense({ purchaseId }) });
    await steps.issuePending({ purchaseId });
    await CancellationScope.nonCancellable(() =>
      untilDone('capturePayment', () => capturePayment({ purchaseId }), isRefused),
    );
  } catch (caught) {
    // A step that breaks off once it was asked to end is not tried again, and tells how it broke instead.
    const err = CancellationScope.current().consideredCancelled ? canceled(caught) : caught;
    const end = await CancellationScope.nonCancellable(async () => {
      await untilDone('beginUndo', () => steps.beginUndo({ purchaseId }));
      for (const { name, undo } of undos) await untilDone(name, undo);
      return untilDone('endPurchase', () => steps.endPurchase({ purchaseId, ...endOf(err) }));
    });
    if (isCancellation(err)) throw err;
    return end;
  }
  return CancellationScope.nonCancellable(() =>
    untilDone('completePurchase', () => steps.completePurchase({ purchaseId })),
  );

  /**
   * Where it is up to the buyer to pay, it is looked at again when the provider tells, every ten minutes, and when its time
   * is over, which is the last look: a day at most, so that the history stays short. A provider that does not answer ends
   * nothing, since the buyer may be paying.
   */
  async function untilAuthorized(): Promise<void> {
    let changed = false;
    setHandler(defineSignal(paymentChangedSignal), () => {
      changed = true;
    });
    let awaited = await authorizePayment({ purchaseId });
    while (awaited) {
      setCurrentDetails(
        `**Waits for the buyer to pay** until ${new Date(awaited.until).toISOString()}\n\n\`soulfra purchases show ${purchaseId}\``,
      );
      await condition(() => changed, Math.min(lookAgainMs, Math.max(awaited.until - Date.now(), 0) + pauses.least), {
        summary: 'until the buyer has paid',
      });
      changed = false;
      awaited = await untilDone('lookAtPayment', () => lookAtPayment({ purchaseId }), isRefusedOrUndone);
    }
  }

  /** The first step, which writes the row: what can never be ends the workflow, with nothing to undo. */
  function begin(work: () => Promise<PurchaseLicenseResult>): Promise<PurchaseLicenseResult> {
    return untilDone('begin', work, (err) => causeOf(err)?.nonRetryable === true);
  }

  /** Tries a step until it is done. One that does not come through opens a notice, which closes once it has. */
  async function untilDone<Result>(
    step: string,
    work: () => Promise<Result>,
    isFinal: (err: unknown) => boolean = () => false,
  ): Promise<Result> {
    for (let round = 0; ; round += 1) {
      try {
        const result = await work();
        await endNotice();
        return result;
      } catch (err) {
        if (isCancellation(err)) throw err;
        if (isFinal(err)) {
          await endNotice();
          throw err;
        }
        told = true;
        await tellStuck({ purchaseId, step, reason: reasonOf(err) });
        await sleep(Math.min(pauses.least * 2 ** round, pauses.most), {
          summary: 'before the provider is asked again',
        });
      }
    }
  }

  async function endNotice(): Promise<void> {
    if (told) await tellUnstuck({ purchaseId });
    told = false;
  }
}

function causeOf(err: unknown): ApplicationFailure | undefined {
  return err instanceof ActivityFailure && err.cause instanceof ApplicationFailure ? err.cause : undefined;
}

/** As its buyer's doing, which it is unless it was refused in any case. */
function canceled(err: unknown): unknown {
  return isCancellation(err) || causeOf(err)?.nonRetryable === true ? err : new CancelledFailure(reasonOf(err));
}

/** The provider has said that the money was not taken, and will not be; anything else may have happened. */
function isRefused(err: unknown): boolean {
  return causeOf(err)?.type === 'PAYMENT_REFUSED';
}

function isRefusedOrUndone(err: unknown): boolean {
  return isRefused(err) || causeOf(err)?.type === 'CONFLICT';
}

/** What a refusal or a person ends is canceled; what broke is failed. */
function endOf(err: unknown): { state: 'canceled' | 'failed'; code: string; reason: string } {
  const reason = reasonOf(err);
  if (isCancellation(err)) return { state: 'canceled', code: 'CONFLICT', reason };
  const cause = causeOf(err);
  if (cause?.nonRetryable === true) return { state: 'canceled', code: cause.type ?? 'CONFLICT', reason };
  return { state: 'failed', code: cause?.type ?? 'UNAVAILABLE', reason };
}
