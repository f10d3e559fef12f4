import { newId } from '../../stores/ids.ts';
import type { Lab } from '../../test/support/lab.ts';
import { median } from './fleet-bench.ts';
import { startOf } from './purchase-clients.ts';
import { type BenchShop, openBenchShop } from './purchase-shop.ts';

const turns = 5;
const each = 300;
const pieces = 3;
const inFlight = 20;

/**
 * Purchases by credits over bare workflows of four activities with one committed insert each, by one worker process that
 * gives both the same weight, in turn, without kills. The median of the turns' ratios.
 * @param startWorker starts the worker of both
 */
export async function overBareTemporal(
  lab: Lab,
  startWorker: () => void,
): Promise<{ ratio: number; purchases: number; bare: number }> {
  const shop = await openBenchShop(lab, 40, () => 100_000_000);
  startWorker();
  const kinds = {
    purchases: (i: number) => buyOnce(lab, shop, i),
    bare: () =>
      lab.client.workflow.execute('fourSteps', {
        taskQueue: 'four_steps',
        workflowId: newId('request'),
        workflowTaskTimeout: '2 seconds',
      }),
  };
  const rates: Record<keyof typeof kinds, number[]> = { purchases: [], bare: [] };
  // Both kinds are warm before any of them is counted.
  for (const work of Object.values(kinds)) await secondsFor(each / pieces, work);
  for (let turn = 0; turn < turns; turn += 1) {
    // In short pieces, one after the other, so that whatever else the box does meets both.
    const seconds = { purchases: 0, bare: 0 };
    for (let piece = 0; piece < pieces; piece += 1) {
      const order = piece % 2 === turn % 2 ? (['bare', 'purchases'] as const) : (['purchases', 'bare'] as const);
      for (const kind of order) seconds[kind] += await secondsFor(each / pieces, kinds[kind]);
    }
    for (const kind of ['bare', 'purchases'] as const) rates[kind].push(each / seconds[kind]);
    const last = `${rates.purchases.at(-1)!.toFixed(1)} and ${rates.bare.at(-1)!.toFixed(1)}`;
    process.stderr.write(`turn ${turn + 1} of ${turns}: ${last} a second\n`);
  }
  const rounded = (value: number) => Math.round(value * 100) / 100;
  return {
    ratio: rounded(median(rates.purchases.map((rate, i) => rate / rates.bare[i]!))),
    purchases: rounded(median(rates.purchases)),
    bare: rounded(median(rates.bare)),
  };
}

async function buyOnce({ client }: Lab, { buyers, listings }: BenchShop, i: number): Promise<void> {
  const start = startOf(newId('purchase'), buyers[i % buyers.length]!, listings[i % listings.length]!, 'credits');
  const { state } = (await client.workflow.execute('purchaseLicense', start)) as { state: string };
  if (state !== 'completed') throw new Error(`a purchase is ${state}`);
}

/** From first start to last end of so many workflows. */
async function secondsFor(count: number, work: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const from = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < count) {
        next += 1;
        await work(next);
      }
    }),
  );
  return (performance.now() - from) / 1000;
}
