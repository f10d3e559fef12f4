import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { callerNetwork } from '../domain/caller-networks.ts';
import { DomainError } from '../domain/errors.ts';
import { newId } from '../stores/ids.ts';
import { queueMail } from '../stores/mails.ts';
import type { ApiContext } from './context.ts';
import { writeOrTry } from './dry-run.ts';
import { createLimitCounter } from './plugins/rate-limit.ts';

/** Links asked for within a quarter of an hour. Anybody may ask for an address: what one caller asks for leaves enough for others. */
export const linkWindowMs = 15 * 60_000;
export const mostPerCaller = 10;
export const mostPerCallerAndAddress = 3;
export const mostPerAddress = 10;

/** Mails a sign-in link to an address. Whoever asks, and whatever for, the same is done and nothing is told. */
export function createSignUps({ db, principals, redis }: Pick<ApiContext, 'db' | 'principals' | 'redis'>) {
  const count = createLimitCounter(redis, { windowMs: linkWindowMs });

  return async (request: FastifyRequest, address: string, { dryRun = false } = {}): Promise<void> => {
    const over = await overLimit(request.ip, address);
    if (over !== undefined) request.log.warn({ over }, 'a sign-in link that was asked for is not mailed');
    const ownerId = await principals.firstOperator();
    if (ownerId === undefined) throw new DomainError('UNAVAILABLE', 'nobody runs this installation yet');
    const mail = { ownerId, userId: null, key: `sign_in:${newId('request')}`, template: 'sign_in', address } as const;
    // Over a limit the same is done, and undone: the time it takes tells nothing either.
    await writeOrTry(db, dryRun || over !== undefined, (tx) => queueMail(tx, mail));
  };

  /**
   * Counted up to the first that is over: who is over their own share uses up nothing of the address's. Redis is told no address.
   * @returns the limit that is over
   */
  async function overLimit(ip: string, address: string): Promise<string | undefined> {
    const network = callerNetwork(ip);
    const limits = [
      ['caller', network, mostPerCaller],
      ['caller-and-address', hashed(`${network} ${address}`), mostPerCallerAndAddress],
      ['address', hashed(address), mostPerAddress],
    ] as const;
    for (const [name, of, most] of limits) if ((await count(`sign-up:${name}:${of}`)).current > most) return name;
    return undefined;
  }
}

function hashed(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
