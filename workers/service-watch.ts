import type { Logger } from 'pino';
import { settleService, serviceLookSeconds, type WatchedService } from '../domain/service-watch.ts';
import { lookAtService, type ServiceLook } from '../integrations/services/probes.ts';
import type { ServiceStore, ServiceToLookAt } from '../stores/services.ts';
import type { HeldEpoch } from '../stores/machines.ts';

/** Looked at together; each waits for its own service, not for the processor. */
const mostAtOnce = 16;

/**
 * Looks at the services that the plan puts on this machine, every few seconds, and writes down what has changed. Only addresses of the
 * machine are asked: loopback, and the host that fleet.yaml names.
 */
export function watchServices({
  services,
  hosts,
  lease,
  log,
  look = lookAtService,
  everyMs = serviceLookSeconds * 1000,
}: {
  services: Pick<ServiceStore, 'toLookAt' | 'seen'>;
  /** Of fleet.yaml as it is now. */
  hosts: () => readonly string[];
  lease: () => HeldEpoch;
  log: Logger;
  look?: typeof lookAtService;
  everyMs?: number;
}) {
  const stopping = new AbortController();
  /** How the last look left each, with what was in the row by then. */
  const left = new Map<string, WatchedService>();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;

  async function lookAtAll(): Promise<void> {
    const held = lease();
    const rows = await services.toLookAt(held);
    const known = new Set(rows.map(({ id }) => id));
    for (const id of left.keys()) if (!known.has(id)) left.delete(id);
    const waiting = [...rows];
    await Promise.all(
      Array.from({ length: Math.min(mostAtOnce, waiting.length) }, async () => {
        for (let row = waiting.shift(); row && !stopping.signal.aborted; row = waiting.shift())
          await lookAtOne(row, held);
      }),
    );
  }

  async function lookAtOne(row: ServiceToLookAt, held: HeldEpoch): Promise<void> {
    const seen = await look({ spec: row.spec, hosts: hostsFor(row.spec, hosts()), isRun: row.isRun });
    const last = left.get(row.id);
    // Somebody else has written meanwhile, such as who starts and stops it: that counts, and looks are counted anew.
    const looks = last !== undefined && last.state === row.state ? last.looks : 0;
    const after = settleService({ state: row.state, reason: row.reason, looks }, seen, row.forSeconds);
    left.set(row.id, after);
    if (after.state === row.state && after.reason === row.reason) return;
    const written = await services.seen(held, { id: row.id, was: row.state, state: after.state, reason: after.reason });
    if (written && after.state !== row.state)
      log.info({ serviceId: row.id, from: row.state, to: after.state, reason: after.reason }, 'service seen');
  }

  function lookSoon(inMs: number): void {
    if (stopping.signal.aborted) return;
    timer = setTimeout(() => {
      looking = lookAtAll()
        .catch((err: unknown) => {
          if (!stopping.signal.aborted) log.warn({ err }, 'services not looked at');
        })
        .finally(() => lookSoon(everyMs));
    }, inMs);
  }

  lookSoon(0);
  return {
    async stop(): Promise<void> {
      stopping.abort(new Error('the worker stops'));
      clearTimeout(timer);
      await looking;
    },
  };
}

/** One that is bound to a single address answers there alone, and no address but the machine's own is asked. */
function hostsFor({ ports, healthCheck }: ServiceLook['spec'], hosts: readonly string[]): readonly string[] {
  const asked = healthCheck === undefined || healthCheck.kind === 'command' ? undefined : healthCheck.port;
  const bound = ports.find(({ port, name }) => (asked === undefined ? name === 'main' : port === asked))?.address;
  return bound !== undefined && hosts.includes(bound) ? [bound] : hosts;
}
