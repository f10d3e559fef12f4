import type { ApiClient } from './api-client.ts';
import type { Screen } from './screen.ts';

const lookEveryMs = 5_000;

/** A machine that a later apply adds gets its worker here too; the worker of one that is taken out ends by itself. */
export function followMachines(
  api: ApiClient,
  known: Set<string>,
  start: (id: string) => Promise<void>,
  screen: Screen,
  ending: () => boolean,
): void {
  let told = false;

  async function look(): Promise<void> {
    const now = new Set((await api.all<{ id: string }>('/machines')).map(({ id }) => id));
    for (const id of known) if (!now.has(id)) known.delete(id);
    for (const id of now) {
      if (known.has(id)) continue;
      screen.line(`${id} is new in the fleet; starting its worker`);
      await start(id);
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
