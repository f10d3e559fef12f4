import type { Logger } from 'pino';

const defaultEveryMs = 5_000;

/** Takes away requests of services whose API died before anybody began to answer them: here and not in a workflow, as they have none. */
export function watchAbandoned({
  forgetAbandoned,
  log,
  everyMs = defaultEveryMs,
}: {
  forgetAbandoned: () => Promise<number>;
  log: Logger;
  everyMs?: number;
}) {
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    const forgotten = await forgetAbandoned();
    if (forgotten > 0) log.info({ forgotten }, 'requests of a dead API taken away');
  }

  const timer = setInterval(() => {
    looking ??= look()
      .catch((err: unknown) => log.warn({ err }, 'requests of dead APIs not looked for'))
      .finally(() => {
        looking = undefined;
      });
  }, everyMs);
  return {
    async stop(): Promise<void> {
      clearInterval(timer);
      await looking;
    },
  };
}
