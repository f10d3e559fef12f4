import { retryAfterSeconds } from '../domain/gateway.ts';
import { BusyError } from './openai-errors.ts';

/** Ends that the time between two is read from. */
const remembered = 16;

/** Requests that are open in this process, by who asks: so many each, and who comes then is told when to come again. */
export function createGatewayPlaces(onOpen: (open: number) => void) {
  const open = new Map<string, number>();
  const ends: number[] = [];
  let all = 0;

  function count(asker: string, by: 1 | -1): void {
    const now = (open.get(asker) ?? 0) + by;
    if (now === 0) open.delete(asker);
    else open.set(asker, now);
    all += by;
    onOpen(all);
  }

  return {
    /** @returns how to give the place back @throws GATEWAY_BUSY */
    enter(asker: string, most: number): () => void {
      const taken = open.get(asker) ?? 0;
      if (taken >= most) {
        const between = ends.length < 2 ? undefined : (ends.at(-1)! - ends[0]!) / 1000 / (ends.length - 1);
        throw new BusyError(`${taken} requests of ${asker} are open, and ${most} may be`, retryAfterSeconds(between));
      }
      count(asker, 1);
      return () => {
        count(asker, -1);
        ends.push(performance.now());
        if (ends.length > remembered) ends.shift();
      };
    },
  };
}

/**
 * Bytes of bodies that this process holds at once. A body stays until its request has been answered, so what does not fit is refused
 * before it is read.
 */
export function createGatewayRoom() {
  let taken = 0;
  return {
    /** @returns how to give the room back; more than once does nothing @throws GATEWAY_BUSY */
    enter(bytes: number, most: number): () => void {
      if (taken + bytes > most)
        throw new BusyError(
          `requests of ${shownMiB(taken)} MiB are open, ${shownMiB(bytes)} more do not fit in ${shownMiB(most)}`,
          retryAfterSeconds(undefined),
        );
      taken += bytes;
      let held = bytes;
      return () => {
        taken -= held;
        held = 0;
      };
    },
  };
}

function shownMiB(bytes: number): number {
  return Math.round((bytes / 2 ** 20) * 10) / 10;
}

/** So many at a time, the others in the order in which they came. */
export function createTurns(most: number) {
  const waiting: Array<() => void> = [];
  let running = 0;
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
