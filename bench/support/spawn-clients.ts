import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../domain/random.ts';

export interface WhisperCount {
  /** Requests that were answered with another whisper than the same key was before. */
  twice: number;
  /** Requests sent, repeated ones and those that a crash cut off included. */
  sent: number;
  /** Distinct whispers answered. */
  answered: number;
}

interface Answer {
  id: string;
}

/**
 * One client of the API on a connection of its own: sends its whispers, again where the API broke off, some of them
 * twice at once and some again much later, always under the key of the first time.
 */
export async function runClient(options: {
  url: string;
  token: string;
  name: string;
  whispers: number;
  random: Random;
  parents: () => readonly string[];
  /** Takes no answer for wrong: for sources that were sabotaged. */
  lenient: boolean;
  onAnswer: () => void;
}): Promise<WhisperCount> {
  const { url, token, name, whispers, random } = options;
  const known = new Map<string, { body: string; id: string }>();
  const count: WhisperCount = { twice: 0, sent: 0, answered: 0 };

  async function send(key: string, body: string): Promise<string> {
    for (;;) {
      count.sent += 1;
      try {
        const response = await fetch(`${url}/v1/whispers`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key },
          body,
        });
        if (response.status === 200 || response.status === 202) return ((await response.json()) as Answer).id;
        const text = await response.text();
        // What lacks a protection may answer anything; a client of it asks again.
        if (!options.lenient && response.status < 500 && response.status !== 429) {
          throw new Error(`whisper refused with ${response.status}: ${text}`);
        }
      } catch (err) {
        // The API was killed: the answer is lost, whether the whisper is stored or not.
        if (!(err instanceof TypeError)) throw err;
      }
      await pause(100);
    }
  }

  function note(key: string, body: string, id: string): void {
    const before = known.get(key);
    if (before === undefined) known.set(key, { body, id });
    else if (before.id !== id) count.twice += 1;
  }

  for (let i = 0; i < whispers; i += 1) {
    const key = `${name}-${i}`;
    const body = JSON.stringify({ parentId: random.pick(options.parents()), text: textOf(random) });
    const ids = await Promise.all(random.next() < 0.1 ? [send(key, body), send(key, body)] : [send(key, body)]);
    for (const id of ids) note(key, body, id);
    if (random.next() < 0.05) {
      const [old, { body: same }] = random.pick([...known]);
      note(old, same, await send(old, same));
    }
    options.onAnswer();
  }
  count.answered = new Set([...known.values()].map(({ id }) => id)).size;
  return count;
}

const things = [
  'lanterns',
  'tides',
  'ledgers',
  'bees',
  'keys',
  'letters',
  'wells',
  'bells',
  'maps',
  'ovens',
  'ropes',
  'songs',
  'clocks',
  'gulls',
  'salt',
  'ash',
];
const wishes = [
  'count',
  'mend',
  'hide',
  'sell',
  'sing of',
  'bury',
  'teach',
  'forgive',
  'follow',
  'doubt',
  'draw',
  'guard',
];

function textOf(random: Random): string {
  const [one, two, three] = random.shuffle(things);
  return `Somebody should ${random.pick(wishes)} the ${one}, never ${random.pick(wishes)} the ${two}, and ${random.pick(wishes)} the ${three} number ${random.int(1_000_000)}.`;
}
