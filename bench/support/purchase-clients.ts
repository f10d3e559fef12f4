import { setTimeout as pause } from 'node:timers/promises';
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowIdReusePolicy,
} from '@temporalio/client';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import type { Random } from '../../domain/random.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import type { PurchaseLicenseInput } from '../../workflows/purchase-license.ts';
import type { BenchBuyer, BenchListing, BenchShop } from './purchase-shop.ts';

export interface BuyerRun {
  url: string;
  client: Client;
  shop: BenchShop;
  purchases: number;
  inFlight: number;
  random: Random;
  onAnswer: () => void;
}

export interface BuyerCount {
  /** Keys that were answered with two purchases. */
  twice: number;
  /** Keys of which nobody ever said how they ended. */
  unanswered: number;
  /** Purchases whose buyers asked to cancel them, whatever came of it. */
  canceled: Set<string>;
}

/** After so long without an answer a purchase is given up, and judged as stuck. */
const patienceMs = 180_000;

/**
 * So many purchases in flight all the time, a third of them by a provider. What breaks off is sent again under its key, one
 * in five is sent twice at once from the beginning, and one in five of those by a provider is canceled while it is under way.
 */
export async function buyAll(run: BuyerRun): Promise<BuyerCount> {
  const { shop, random } = run;
  const count: BuyerCount = { twice: 0, unanswered: 0, canceled: new Set() };
  let next = 0;
  await Promise.all(
    Array.from({ length: run.inFlight }, async () => {
      while (next < run.purchases) {
        const i = next;
        next += 1;
        const buyer = shop.buyers[random.int(shop.buyers.length)]!;
        const listing = shop.listings[random.int(shop.listings.length)]!;
        const order = { key: `key-${i}`, buyer, listing };
        const ids =
          i % 3 === 2
            ? [await byProvider(run, order, count.canceled)]
            : await Promise.all(Array.from({ length: i % 5 === 0 ? 2 : 1 }, () => byCredits(run, order)));
        if (ids.includes(undefined)) count.unanswered += 1;
        if (new Set(ids).size > 1) count.twice += 1;
        run.onAnswer();
      }
    }),
  );
  return count;
}

interface Order {
  key: string;
  buyer: BenchBuyer;
  listing: BenchListing;
}

/** @returns the id of the purchase, once it has ended; undefined where it does not */
async function byCredits({ url }: BuyerRun, { key, buyer, listing }: Order): Promise<string | undefined> {
  const until = Date.now() + patienceMs;
  while (Date.now() < until) {
    const answer = await fetch(`${url}/v1/purchases`, {
      method: 'POST',
      headers: { authorization: `Bearer ${buyer.token}`, 'idempotency-key': key, 'content-type': 'application/json' },
      body: JSON.stringify({ listingId: listing.id, kind: 'personal' }),
      signal: AbortSignal.timeout(15_000),
    }).catch(() => undefined);
    // 409 is a purchase that was canceled; the others are asked again.
    if (answer?.status === 201 || answer?.status === 409) {
      await answer.arrayBuffer().catch(() => undefined);
      return answer.headers.get('location')?.split('/').at(-1);
    }
    await pause(100);
  }
  return undefined;
}

async function byProvider(
  { client, url, random }: BuyerRun,
  { buyer, listing }: Order,
  canceled: Set<string>,
): Promise<string | undefined> {
  const purchaseId = newId('purchase');
  try {
    await client.workflow.start('purchaseLicense', startOf(purchaseId, buyer, listing, 'bench'));
  } catch (err) {
    if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
  }
  if (random.int(5) === 0) {
    await pause(random.int(500));
    canceled.add(purchaseId);
    // The API may be gone, and the purchase past its pivot: it goes on then.
    await fetch(`${url}/v1/purchases/${purchaseId}/cancel`, {
      method: 'POST',
      headers: { authorization: `Bearer ${buyer.token}` },
      signal: AbortSignal.timeout(15_000),
    }).catch(() => undefined);
  }
  return (await hasEnded(client, purchaseWorkflowId(purchaseId), patienceMs)) ? purchaseId : undefined;
}

/** Waits for the end of a workflow, however it ends, and leaves no call open behind it. @returns false after so long */
export async function hasEnded(client: Client, workflowId: string, withinMs: number): Promise<boolean> {
  const signal = AbortSignal.timeout(withinMs);
  try {
    await client.withAbortSignal(signal, () => client.workflow.getHandle(workflowId).result());
    return true;
  } catch (err) {
    if (err instanceof WorkflowFailedError) return true;
    if (signal.aborted) return false;
    throw err;
  }
}

/** A purchase as the API starts it. */
export function startOf(purchaseId: string, buyer: BenchBuyer, listing: BenchListing, payment: string) {
  const input: PurchaseLicenseInput = {
    purchaseId,
    ownerId: buyer.ownerId,
    listingId: listing.id,
    licenseKind: 'personal',
    payment,
    requestHash: 'ab',
    madeBy: 'tok_bench',
  };
  return {
    workflowId: purchaseWorkflowId(purchaseId),
    taskQueue: coordinationQueue,
    args: [input] as [PurchaseLicenseInput],
    workflowTaskTimeout: '2 seconds' as const,
    workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
  };
}
