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

/** Room that a body holds. */
export interface BodyRoom {
  /** It has no more bytes than these: what else was held is given back. */
  fit(bytes: number): void;
  /** Gives all of it back; more than once does nothing. */
  leave(): void;
}

/**
 * Bytes of bodies that this process holds at once, of one asker half of them at most. A body stays until its request has been answered,
 * so what does not fit is refused before it is read.
 * @param longest one body of this many bytes is let in from whoever asks, where there is room
 */
export function createGatewayRoom(longest: number) {
  const taken = new Map<string, number>();
  let all = 0;

  function count(asker: string, by: number): void {
    const now = (taken.get(asker) ?? 0) + by;
    if (now === 0) taken.delete(asker);
    else taken.set(asker, now);
    all += by;
  }

  return {
    /** @throws GATEWAY_BUSY */
    enter(asker: string, bytes: number, most: number): BodyRoom {
      const own = taken.get(asker) ?? 0;
      const ownMost = Math.max(longest, most / 2);
      const refuse = (who: string, held: number, fits: number) => {
        const said = `requests${who} of ${shownMiB(held)} MiB are open, ${shownMiB(bytes)} more do not fit in ${shownMiB(fits)}`;
        throw new BusyError(said, retryAfterSeconds(undefined));
      };
      if (all + bytes > most) refuse('', all, most);
      if (own + bytes > ownMost) refuse(` of ${asker}`, own, ownMost);
      count(asker, bytes);
      let held = bytes;
      const fit = (left: number) => {
        if (left >= held) return;
        count(asker, left - held);
        held = left;
      };
      return { fit, leave: () => fit(0) };
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
