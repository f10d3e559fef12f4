import { wholeCreatorPart } from '../../domain/listings.ts';
import { creditsGranted } from '../../domain/postings.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { createListing, moveListing } from '../../stores/listings.ts';
import { type Lab, labOwner } from '../../test/support/lab.ts';
import { addPackage, addPerson, type Person } from '../../test/support/market.ts';

export interface BenchBuyer extends Person {
  granted: number;
}
export interface BenchListing {
  id: string;
  amount: number;
  creators: Array<{ userId: string; weight: number }>;
}
export interface BenchShop {
  buyers: BenchBuyer[];
  listings: BenchListing[];
}

/** Prices that divide badly, one to three creators, buyers of whom some run out of credits; in a fleet with `light-001`. */
export async function openBenchShop(lab: Lab, buyers: number, credits: (buyer: number) => number): Promise<BenchShop> {
  const { db } = lab;
  const creators = await Promise.all(['ada', 'ben', 'cleo'].map((name) => addPerson(db, name, 'creator')));
  const ownerId = creators[0]!.ownerId;
  const { packageId } = await addPackage(db, { ownerId, agentId: 'light-001' });
  const listings: BenchListing[] = [];
  for (const [i, amount] of [999, 1_001, 1_234, 2_003].entries()) {
    const weights = [[wholeCreatorPart], [3_333, 6_667], [3_333, 3_333, 3_334], [1, 9_999]][i]!;
    const shares = weights.map((weight, at) => ({ userId: creators[at]!.ownerId, weight }));
    const id = newId('listing');
    await db.transaction().execute(async (tx) => {
      const said = { title: `Loop ${i}`, summary: '', termsVersion: '1', kinds: ['personal'], modelStatement: '' };
      const price = { amount, currency: 'EUR' };
      await createListing(tx, {
        ...said,
        price,
        creators: shares,
        id,
        ownerId,
        packageId,
        requestHash: Buffer.from(id),
      });
      await moveListing(tx, { id, ownerId, version: undefined }, 'listed');
    });
    listings.push({ id, amount, creators: shares });
  }
  const people: BenchBuyer[] = [];
  for (let i = 0; i < buyers; i += 1) {
    const person = await addPerson(db, `buyer ${i}`);
    const granted = credits(i);
    const money = { amount: granted, currency: 'EUR' };
    const grant = creditsGranted({ grantId: newId('grant'), userId: person.ownerId, money, reason: 'bench' });
    await db.transaction().execute((tx) => postTransfers(tx, { ownerId: labOwner, madeBy: 'bench' }, [grant]));
    people.push({ ...person, granted });
  }
  return { buyers: people, listings };
}
