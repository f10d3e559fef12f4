import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { type ClaimLineOptions, createClaimLine } from '../../api/claim-line.ts';
import { DomainError } from '../../domain/errors.ts';
import type { Claim } from '../../stores/work.ts';

const here = new AbortController().signal;
const work = { workId: 'wrk_1', attempt: 1, token: 't', taskToken: Buffer.from('x') } as Claim;

function lineOf(claim: () => Promise<Claim | undefined>, renew: () => Promise<boolean>) {
  const giveBack = vi.fn((..._said: unknown[]) => Promise.resolve());
  const line = createClaimLine({
    works: { claim, giveBack } as unknown as ClaimLineOptions['works'],
    leases: { renew, release: () => Promise.resolve() } as unknown as ClaimLineOptions['leases'],
    listen: () => ({ close: () => Promise.resolve() }) as ReturnType<ClaimLineOptions['listen']>,
    log: pino({ level: 'silent' }),
  });
  return { line, giveBack };
}

test('where Temporal does not answer, the offer stands for whoever claims next; where it says no, it does not', async () => {
  const away = lineOf(
    () => Promise.resolve(work),
    () => Promise.reject(new DomainError('UNAVAILABLE', 'away')),
  );
  await expect(away.line.next('a', 0, here)).rejects.toThrow('away');
  expect(away.giveBack.mock.calls).toEqual([[work, true]]);
  const found = [work, undefined];
  const lost = lineOf(
    () => Promise.resolve(found.shift()),
    () => Promise.resolve(false),
  );
  expect(await lost.line.next('a', 0, here)).toBeUndefined();
  expect(lost.giveBack.mock.calls).toEqual([[work]]);
});

test('whoever joins while a look is ending is looked for', async () => {
  for (let later = 0; later < 20; later += 1) {
    const claim = vi.fn((): Promise<Claim | undefined> => Promise.resolve(undefined));
    const { line } = lineOf(claim, () => Promise.resolve(true));
    const first = line.next('a', 60_000, here);
    for (let i = 0; i < later; i += 1) await Promise.resolve();
    claim.mockResolvedValueOnce(work);
    const second = line.next('a', 60_000, here);
    await turn();
    expect(claim.mock.calls.length, `${later} turns later`).toBeGreaterThan(1);
    await line.close();
    expect(await Promise.all([first, second])).toContain(work);
  }
});
