import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { currencyDecimals } from '../../domain/currencies.ts';
import { isDomainError } from '../../domain/errors.ts';
import { leastPayable, type PriceRules, refusedByFee, refuseLowPrice } from '../../domain/least-prices.ts';
import { wholeCreatorPart } from '../../domain/listings.ts';
import { marketSchema } from '../../domain/market.ts';
import { splitSale } from '../../domain/shares.ts';
import { smallFleet } from '../support/small-fleet.ts';

const usual: PriceRules = marketSchema.parse({});
const creators = [{ userId: 'usr_a', weight: wholeCreatorPart }];
/** Weights as fleet.yaml takes them. */
const weights = fc
  .record({ platform: fc.integer({ min: 4, max: 99 }), creator: fc.integer({ min: 1, max: 100 }) })
  .filter(({ platform, creator }) => platform + creator <= 100)
  .map(({ platform, creator }) => ({ creator, platform, blessings: 100 - platform - creator }));

function least(currency: string, rules = usual): number {
  for (let amount = 1; ; amount += 1) {
    try {
      refuseLowPrice({ amount, currency }, rules);
      return amount;
    } catch (err) {
      if (!isDomainError(err, 'INVALID_INPUT')) throw err;
    }
  }
}

function breachesOf(market: string): string[] {
  const parsed = parseFleet(`${smallFleet}\nmarket:\n${market}\n`);
  return 'errors' in parsed ? parsed.errors.map(({ path, rule }) => `${path} ${rule}`) : [];
}

test('by itself each currency has a least price at which nobody goes away empty', () => {
  for (const currency of currencyDecimals.keys()) {
    const { saleWeights } = usual;
    const split = splitSale(least(currency), 0, { weights: saleWeights, creators });
    expect({ currency, empty: [split.creators[0]!.amount, split.platform, split.blessings].includes(0) }).toEqual({
      currency,
      empty: false,
    });
  }
  expect([least('EUR'), least('JPY'), least('KRW'), least('KWD'), least('TND')]).toEqual([200, 300, 3_000, 600, 10]);
});

test('from the least price on the platform’s part pays a card fee, whatever the weights', () => {
  const fees = fc.constantFrom(
    { currency: 'EUR', fixed: 30 },
    { currency: 'JPY', fixed: 50 },
    { currency: 'KWD', fixed: 100 },
  );
  fc.assert(
    fc.property(weights, fees, fc.nat(100_000), (saleWeights, { currency, fixed }, more) => {
      const amount = leastPayable(currency, saleWeights) + more;
      const { platform } = splitSale(amount, 0, { weights: saleWeights, creators });
      expect(platform).toBeGreaterThanOrEqual(Math.ceil((3 * amount) / 100 + fixed));
    }),
    { numRuns: 2_000 },
  );
});

test('who gives the platform less sells for more', () => {
  const saleWeights = { creator: 85, platform: 10, blessings: 5 };
  expect(least('EUR', { saleWeights, leastPrices: {} })).toBe(500);
  expect(least('EUR', { saleWeights, leastPrices: { EUR: 450 } })).toBe(450);
});

test('no provider takes less than its fee, nor a currency of which nobody has said what it costs', () => {
  expect(refusedByFee({ amount: 200, currency: 'EUR' }, usual)).toBeUndefined();
  expect(refusedByFee({ amount: 199, currency: 'EUR' }, usual)).toContain('2.00 EUR');
  expect(refusedByFee({ amount: 90_000, currency: 'SEK' }, usual)).toContain('market.leastPrices');
  const named = { ...usual, leastPrices: { SEK: 2_000 } };
  expect(refusedByFee({ amount: 2_000, currency: 'SEK' }, named)).toBeUndefined();
  expect(refusedByFee({ amount: 1_999, currency: 'SEK' }, named)).toContain('20.00 SEK');
});

test('fleet.yaml owns weights and least prices, and says what is wrong with them', () => {
  expect(breachesOf('  saleWeights: { creator: 80, platform: 15, blessings: 5 }\n  leastPrices: { EUR: 500 }')).toEqual(
    [],
  );
  expect(breachesOf('  saleWeights: { creator: 80 }')).toEqual(['market.saleWeights must add up to 100']);
  expect(breachesOf('  saleWeights: { creator: 90, platform: 3, blessings: 7 }')).toEqual([
    "market.saleWeights.platform must be over 3: the provider's fee comes out of it",
  ]);
  expect(breachesOf('  saleWeights: { creator: -1, platform: 91, blessings: 10 }')[0]).toContain(
    'market.saleWeights.creator',
  );
  expect(breachesOf('  leastPrices: { EUR: 182 }')[0]).toContain('market.leastPrices.EUR must be at least 183');
  expect(breachesOf('  leastPrices: { EUR: 183 }')).toEqual([]);
  expect(
    breachesOf('  saleWeights: { creator: 80, platform: 10, blessings: 10 }\n  leastPrices: { EUR: 183 }')[0],
  ).toContain('market.leastPrices.EUR must be at least 443');
  expect(breachesOf('  leastPrices: { EURO: 500 }')[0]).toContain('market.leastPrices');
});
