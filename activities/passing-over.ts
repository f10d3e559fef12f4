import { Context } from '@temporalio/activity';
import { UnusableText } from '../domain/embeddings.ts';
import { isDomainError } from '../domain/errors.ts';
import { isPassing, isRefusedRow } from '../stores/passing-errors.ts';

/** From this attempt on an item that fails for no known reason is passed over: whatever passes has had minutes to. */
const passedOverFrom = 8;

export function reasonOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

/**
 * Whether an item is to be passed over for this error. At once where the same item fails the same way each time: a value
 * that a rule cannot take, a row that Postgres refuses, a text without a vector. Never for what is of the server or of the
 * whole, such as a lost connection or a model that does not answer: that is tried again.
 */
export function isPassedOver(err: unknown): boolean {
  const { info, cancellationSignal } = Context.current();
  if (cancellationSignal.aborted || isPassing(err)) return false;
  if (err instanceof RangeError || err instanceof UnusableText || isRefusedRow(err)) return true;
  return !isDomainError(err) && info.attempt >= passedOverFrom;
}

/**
 * Works on all items together; where that fails because of one of them, on each alone, and tells those that cannot be
 * worked on. `work` is done twice for some, so it is to do no harm the second time.
 */
export async function togetherOrAlone<Item>(
  items: readonly Item[],
  {
    work,
    tell,
  }: { work: (items: readonly Item[]) => Promise<void>; tell: (item: Item, reason: string) => Promise<void> },
): Promise<void> {
  try {
    return await work(items);
  } catch (err) {
    if (!isPassedOver(err)) throw err;
  }
  for (const item of items) {
    try {
      await work([item]);
    } catch (err) {
      if (!isPassedOver(err)) throw err;
      await tell(item, reasonOf(err));
    }
    Context.current().heartbeat();
  }
}
