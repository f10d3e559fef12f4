import { hash, verify } from '@node-rs/argon2';
import { DomainError } from '../domain/errors.ts';

/** OWASP's second choice of cost (19 MiB, two passes), so that a machine that also runs a fleet stands many at once. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
/** Each takes memory and a thread; who comes beyond these waits, and beyond those that wait is refused. */
const mostAtOnce = 2;
const mostWaiting = 40;
/** So many are judged in about as long. */
const retryAfterSeconds = 5;

export interface PasswordHasher {
  hash(password: string): Promise<string>;
  /**
   * @param begin counts the try and says what the password is held against, once there is a place: who is refused one (RATE_LIMITED) has
   * typed nothing wrong. A hash of undefined: nobody has one, which takes as long to find out and is false
   */
  judge<Tried extends { hash: string | undefined }>(
    begin: () => Promise<Tried>,
    password: string,
  ): Promise<{ tried: Tried; isRight: boolean }>;
}

export function createPasswordHasher(): PasswordHasher {
  const inTurn = createTurns();
  let nobodys: Promise<string> | undefined;
  return {
    hash: (password) => inTurn(() => hash(password, cost)),
    async judge(begin, password) {
      // Waited for by whoever has a password, too, or the first try after a start would tell who has none.
      const compare = await (nobodys ??= hash('of nobody', cost));
      return inTurn(async () => {
        const tried = await begin();
        const isRight = await verify(tried.hash ?? compare, password);
        return { tried, isRight: isRight && tried.hash !== undefined };
      });
    },
  };
}

function createTurns() {
  let running = 0;
  const waiting: Array<() => void> = [];
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (running >= mostAtOnce) {
      if (waiting.length >= mostWaiting)
        throw new DomainError('RATE_LIMITED', 'too many sign in at this moment; try again in some seconds', {
          retryAfterSeconds,
        });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      // Who waited longest takes the place over.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
