import type { ApiClient } from './api-client.ts';
import type { Screen } from './screen.ts';

const lookEveryMs = 5_000;

export interface Following {
  api: ApiClient;
  /** Machines that were there at the start. */
  known: Set<string>;
  /** Of these, those whose worker ran on another box. */
  away: ReadonlySet<string>;
  /** The same, now. */
  joined: () => Promise<ReadonlySet<string>>;
  start: (id: string) => Promise<void>;
  stop: (id: string) => Promise<void>;
  screen: Screen;
  ending: () => boolean;
}

/**
 * A machine that a later apply adds gets its worker here too; the worker of one that is taken out ends by itself, and that of one which
 * joins from another box is stopped here: the box itself takes its place.
 */
export function followMachines({ api, known, joined, start, stop, screen, ending, ...before }: Following): void {
  let told = false;
  let { away } = before;

  async function look(): Promise<void> {
    const now = new Set((await api.all<{ id: string }>('/machines')).map(({ id }) => id));
    const joinedNow = await joined();
    for (const id of joinedNow) {
      if (away.has(id)) continue;
      screen.line(`${id} has joined from another box; its worker here stops`);
      await stop(id);
    }
    for (const id of away) {
      if (joinedNow.has(id) || !now.has(id)) continue;
      screen.line(`${id} has left with its box; to run it here: soulfra fleet start ${id}`);
    }
    away = joinedNow;
    for (const id of known) if (!now.has(id)) known.delete(id);
    for (const id of now) {
      if (known.has(id)) continue;
      if (!joinedNow.has(id)) {
        screen.line(`${id} is new in the fleet; starting its worker`);
        await start(id);
      }
      known.add(id);
    }
  }

  const timer = setInterval(() => {
    look().then(
      () => {
        told = false;
      },
      (err: unknown) => {
        // The API may be between two starts: said once, and looked at again.
        if (!told && !ending()) screen.line(`machines not read: ${err instanceof Error ? err.message : String(err)}`);
        told = true;
      },
    );
  }, lookEveryMs);
  timer.unref();
}
