import type { Client } from '@temporalio/client';
import type { ApiMetrics } from '../observability/api-metrics.ts';
import { installationDefinitions } from '../observability/metrics/api-definitions.ts';
import type { MetricDefinition } from '../observability/metrics/definition.ts';
import { everySeries } from '../observability/metrics/registry.ts';
import { type FigureSample, readFigures, readTaskQueues } from '../stores/queries/figures.ts';
import { currentFleet } from '../stores/fleets.ts';
import { createReadiness } from './health.ts';
import { readInstallationFiles } from './installation-files.ts';
import type { ApiDeps } from './types.ts';

/** Whoever scrapes more often is told the same. */
const keptMs = 5_000;
/** A database or server that hangs must not hold up the figures of this process. */
const passMs = 3_000;

type Installation = ApiMetrics['installation'];
type Key = keyof Installation;
const ofQueues = ['backlog', 'backlogAge', 'pollers'] as const satisfies readonly Key[];

/**
 * Brings the gauges of the whole installation up to date: one pass over Postgres, one question to Temporal a task queue.
 * What cannot be read keeps its last values; `soulfra_figures_read_timestamp_seconds` says of when they are.
 */
export function createFigures(deps: Pick<ApiDeps, 'db' | 'temporal' | 'redis' | 'metrics' | 'log'>) {
  const { db, temporal, metrics, log } = deps;
  const readiness = createReadiness(deps);
  let kept: { at: number; pass: Promise<void> } | undefined;

  async function pass(): Promise<void> {
    await Promise.all([
      readiness().then(({ parts }) => {
        for (const [dependency, { state }] of Object.entries(parts))
          metrics.ready.set({ dependency }, state === 'up' ? 1 : 0);
      }),
      part('postgres', async () => {
        const { metrics: settings } = (await currentFleet(db))?.fleet ?? {};
        const ofFiles = settings && (await readInstallationFiles(settings, fileFailed));
        const samples = Map.groupBy([...(await readFigures(db)), ...(ofFiles ?? [])], ({ figure }) => figure);
        // A figure without a row is one of which there is nothing, so all are set and not those alone that came.
        for (const key of Object.keys(metrics.installation) as Key[]) {
          if (!(ofQueues as readonly Key[]).includes(key)) set(metrics.installation, key, samples.get(key) ?? []);
        }
      }),
      part('temporal', async () => {
        const samples = await readQueues(temporal, await readTaskQueues(db));
        for (const key of ofQueues)
          set(
            metrics.installation,
            key,
            samples.filter(({ figure }) => figure === key),
          );
      }),
    ]);
  }

  function fileFailed(err: unknown, path: string): void {
    log.warn({ err, path }, 'file not read for metrics');
  }

  async function part(from: 'postgres' | 'temporal', read: () => Promise<void>): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`no answer within ${passMs} ms`)), passMs);
    try {
      await Promise.race([read(), late.promise]);
      metrics.figuresAt.set({ from }, Date.now() / 1000);
    } catch (err) {
      metrics.figuresFailed.inc({ from });
      log.warn({ err, from }, 'figures not read for metrics');
    } finally {
      clearTimeout(timer);
    }
  }

  return (): Promise<void> => {
    if (kept === undefined || Date.now() - kept.at > keptMs) kept = { at: Date.now(), pass: pass() };
    return kept.pass;
  };
}

function set(installation: Installation, key: Key, samples: readonly FigureSample[]): void {
  const gauge = installation[key];
  const { labels, unit, absentUntilSet }: MetricDefinition = installationDefinitions[key];
  const listed = labels !== undefined && Object.values(labels).every((values) => typeof values !== 'string');
  if (absentUntilSet) gauge.remove();
  else gauge.reset();
  // States that nothing is in are 0 and not missing.
  if (unit === 'count' && listed) for (const series of everySeries(labels)) gauge.set(series as never, 0);
  for (const sample of samples) gauge.set(sample.labels as never, sample.value);
}

const queueTypes = { workflow: 1, activity: 2 } as const;

async function readQueues(
  temporal: Client,
  queues: ReadonlyArray<{ queue: string; type: 'workflow' | 'activity' }>,
): Promise<FigureSample[]> {
  const { namespace } = temporal.options;
  const told = await temporal.withDeadline(Date.now() + passMs, () =>
    Promise.all(
      queues.map(async (labels) => {
        const { stats, pollers } = await temporal.workflowService.describeTaskQueue({
          namespace,
          taskQueue: { name: labels.queue },
          taskQueueType: queueTypes[labels.type],
          reportStats: true,
        });
        const age = stats?.approximateBacklogAge;
        return [
          { figure: 'backlog', labels, value: Number(stats?.approximateBacklogCount ?? 0) },
          { figure: 'backlogAge', labels, value: Number(age?.seconds ?? 0) + (age?.nanos ?? 0) / 1e9 },
          { figure: 'pollers', labels, value: pollers?.length ?? 0 },
        ];
      }),
    ),
  );
  return told.flat();
}
