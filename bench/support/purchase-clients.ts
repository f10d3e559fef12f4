import { setTimeout as pause } from 'node:timers/promises';
import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowIdReusePolicy } from '@temporalio/client';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import type { Random } from '../../domain/random.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import type { Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import type { PurchaseLicenseInput } from '../../workflows/purchase-license.ts';
import type { BenchBuyer, BenchListing, BenchShop } from './purchase-shop.ts';

export interface BuyerRun {
  url: string;
  client: Client;
  db: Database;
  shop: BenchShop;
  purchases: number;
  inFlight: number;
  /** After so many milliseconds without an answer a buyer goes on to the next, and asks again when all is quiet. */
  patienceMs: number;
  random: Random;
  onAnswer: () => void;
}

export interface BuyerCount {
  /** Keys that were answered with two purchases. */
  twice: number;
  /** Asks again for those of which nobody has said in time how they ended; undefined: nobody does. */
  unanswered: Array<() => Promise<string | undefined>>;
  /** Purchases whose buyers asked to cancel them, whatever came of it. */
  canceled: Set<string>;
}

/**
 * So many purchases in flight all the time, a third of them by a provider. What breaks off is sent again under its key, one
 * in five is sent twice at once from the beginning, and one in five of those by a provider is canceled while it is under way.
 */
export async function buyAll(run: BuyerRun): Promise<BuyerCount> {
  const { shop, random } = run;
  const count: BuyerCount = { twice: 0, unanswered: [], canceled: new Set() };
  let next = 0;
  await Promise.all(
    Array.from({ length: run.inFlight }, async () => {
      while (next < run.purchases) {
        const i = next;
        next += 1;
        const buyer = shop.buyers[random.int(shop.buyers.length)]!;
        const listing = shop.listings[random.int(shop.listings.length)]!;
        const order = { key: `key-${i}`, buyer, listing };
        const asks =
          i % 3 === 2
            ? [await byProvider(run, order, count.canceled)]
            : Array.from({ length: i % 5 === 0 ? 2 : 1 }, () => () => byCredits(run, order));
        const ids = await Promise.all(asks.map((ask) => ask()));
        if (ids.includes(undefined)) count.unanswered.push(asks[0]!);
        if (new Set(ids.filter((id) => id !== undefined)).size > 1) count.twice += 1;
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
async function byCredits({ url, patienceMs }: BuyerRun, { key, buyer, listing }: Order): Promise<string | undefined> {
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

/** @returns asks for its end, as `byCredits` does */
async function byProvider(
  { client, db, url, random, patienceMs }: BuyerRun,
  { buyer, listing }: Order,
  canceled: Set<string>,
): Promise<() => Promise<string | undefined>> {
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
  const ended = async () => {
    const row = await db.selectFrom('purchases').select('endedAt').where('id', '=', purchaseId).executeTakeFirst();
    return (row?.endedAt ?? null) !== null;
  };
  return async () => ((await within(patienceMs, ended)) ? purchaseId : undefined);
}

/** Asks until it is so, and leaves no call open behind it. @returns false after so many milliseconds */
export async function within(ms: number, isSo: () => Promise<boolean>): Promise<boolean> {
  const until = Date.now() + ms;
  while (Date.now() < until) {
    if (await isSo()) return true;
    await pause(250);
  }
  return false;
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
