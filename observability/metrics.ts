import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type ApiMetrics = ReturnType<typeof createApiMetrics>;

/** The API's own registry; labels are bounded: a route's pattern, never an id. */
export function createApiMetrics() {
  const registry = new Registry();
  registry.setDefaultLabels({ part: 'api' });
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: 'soulfra_api_request_seconds',
    help: 'Time from a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  const streams = new Gauge({
    name: 'soulfra_api_event_streams',
    help: 'Open streams of /v1/events.',
    registers: [registry],
  });
  const memories = new Counter({
    name: 'soulfra_memories_added_total',
    help: 'Memories that came in through this API process.',
    registers: [registry],
  });
  return {
    registry,
    requests,
    streams,
    memories,

    /** Reads a figure at each scrape; one that cannot be read is left out, and the scrape goes on. */
    gauge(
      name: string,
      help: string,
      read: () => Promise<Record<string, number> | number | undefined>,
      label = 'state',
    ) {
      return new Gauge({
        name,
        help,
        labelNames: [label],
        registers: [registry],
        async collect() {
          this.reset();
          const value = await read();
          if (typeof value === 'number') this.set(value);
          else for (const [key, count] of Object.entries(value ?? {})) this.set({ [label]: key }, count);
        },
      });
    },
  };
}
