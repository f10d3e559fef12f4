import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type ApiMetrics = ReturnType<typeof createApiMetrics>;

/** The API's own registry; labels are bounded: a route's pattern, a state, never an id. */
export function createApiMetrics() {
  const registry = new Registry();
  registry.setDefaultLabels({ part: 'api' });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const byState = (name: string, help: string) => new Gauge({ name, help, labelNames: ['state'] as const, registers });
  const plain = (name: string, help: string) => new Gauge({ name, help, registers });
  return {
    registry,
    requests: new Histogram({
      name: 'soulfra_api_request_seconds',
      help: 'Time from a request to the end of its answer.',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    streams: plain('soulfra_api_event_streams', 'Open streams of /v1/events.'),
    answerStreams: plain('soulfra_api_answer_streams', 'Open streams of answers.'),
    memories: new Counter({
      name: 'soulfra_memories_added_total',
      help: 'Memories that came in through this API process.',
      registers,
    }),
    machines: byState('soulfra_machines', 'Machines of the fleet by state.'),
    agents: byState('soulfra_agents', 'Agents by state.'),
    openRuns: byState('soulfra_open_runs', 'Runs that have not ended, by state.'),
    sources: byState('soulfra_sources', 'Sources that were polled, by whether the last poll failed.'),
    pendingSourceItems: plain('soulfra_source_items_pending', 'Items of sources not yet given to every agent.'),
    openNotices: plain('soulfra_open_notices', 'What waits for a person.'),
    unplacedAgents: plain('soulfra_placement_unplaced', 'Active agents without a home machine.'),
    ledgerDiscrepancies: plain(
      'soulfra_ledger_discrepancies',
      'Places where the books did not add up in the last pass over them; anything but 0 needs a person.',
    ),
    ledgerReconciled: plain('soulfra_ledger_reconciled_seconds', 'How long ago the books were last passed over.'),
    oldestIntent: plain('soulfra_intents_oldest_seconds', 'How long the oldest intent has waited to be started.'),
    eventHorizon: plain(
      'soulfra_event_horizon_seconds',
      'How long the oldest open write transaction has held back readers of events.',
    ),
  };
}
