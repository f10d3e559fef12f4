import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricDefinition, MetricDefinitions } from './definition.ts';

type LabelsOf<Definition> = Definition extends { labels: infer Labels } ? keyof Labels & string : never;
type MetricOf<Definition extends MetricDefinition> = Definition['type'] extends 'counter'
  ? Counter<LabelsOf<Definition>>
  : Definition['type'] extends 'gauge'
    ? Gauge<LabelsOf<Definition>>
    : Histogram<LabelsOf<Definition>>;
export type MetricsOf<Definitions extends MetricDefinitions> = {
  [Key in keyof Definitions]: MetricOf<Definitions[Key]>;
};

/** Of prom-client's own: gauges named as counters, which no linter of metrics lets pass. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** A registry with the process's own metrics; every series carries these labels. */
export function createRegistry(labels: Readonly<Record<string, string>>): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ ...labels });
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  return registry;
}

/** The metrics of definitions, in a registry. */
export function createMetrics<const Definitions extends MetricDefinitions>(
  registry: Registry,
  definitions: Definitions,
): MetricsOf<Definitions> {
  const made = Object.entries(definitions).map(([key, definition]) => [key, create(registry, definition)]);
  return Object.fromEntries(made) as MetricsOf<Definitions>;
}

function create(
  registry: Registry,
  { type, name, help, labels = {}, buckets, startsAtZero, absentUntilSet }: MetricDefinition,
) {
  const options = { name, help, labelNames: Object.keys(labels), registers: [registry] };
  if (type === 'histogram') return new Histogram({ ...options, buckets: [...(buckets ?? [])] });
  if (type === 'gauge') {
    const gauge = new Gauge(options);
    if (absentUntilSet) gauge.remove();
    return gauge;
  }
  const counter = new Counter(options);
  if (startsAtZero) for (const series of everySeries(labels)) counter.inc(series, 0);
  return counter;
}

/** Every combination of the labels' values. */
export function everySeries(labels: NonNullable<MetricDefinition['labels']>): Array<Record<string, string>> {
  return Object.entries(labels).reduce<Array<Record<string, string>>>(
    (series, [label, values]) =>
      typeof values === 'string'
        ? series
        : series.flatMap((each) => values.map((value) => ({ ...each, [label]: value }))),
    [{}],
  );
}
