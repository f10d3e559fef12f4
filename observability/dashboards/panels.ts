import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import {
  DashboardLinkBuilder,
  DashboardLinkType,
  type Panel,
  QueryVariableBuilder,
  DatasourceVariableBuilder,
  TextBoxVariableBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableHide,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as HeatmapBuilder } from '@grafana/grafana-foundation-sdk/heatmap';
import {
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  VizLegendOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as GraphBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import type { RunbookAnchor } from '../runbooks.ts';
import type { PlacedPanel } from './bridge.ts';

/** The one that deploy/grafana/provisioning names; each dashboard can be pointed at another. */
const prometheus = { type: 'prometheus', uid: '${datasource}' };

export interface Query {
  expr: string;
  /** What a series is called, with its labels in braces: `{{machine}}`. */
  legend?: string;
}

export interface PanelSpec {
  title: string;
  /** What it shows and what to make of it: a person reads this at night. */
  description: string;
  /** Of Grafana's unit ids: s, bytes, percentunit, reqps, short. */
  unit: string;
  queries: readonly Query[];
  /** Where it says what to do. */
  runbook: RunbookAnchor;
  /** Of 12. @default 6 */
  span?: number;
  /** @default 8 */
  height?: number;
  /** From this value on it is amber, from that red. */
  amber?: number;
  red?: number;
}

/** Lines over time. */
export function graph(spec: PanelSpec): PlacedPanel {
  const legend = new VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .showLegend(true);
  const builder = new GraphBuilder().unit(spec.unit).min(0).fillOpacity(8).lineWidth(1).legend(legend);
  return placed(spec, withThresholds(spec, builder), 6);
}

/** The latest value in large. */
export function figure(spec: PanelSpec): PlacedPanel {
  const latest = new ReduceDataOptionsBuilder().calcs(['lastNotNull']);
  const builder = new StatBuilder().unit(spec.unit).reduceOptions(latest);
  return placed({ height: 4, ...spec }, withThresholds(spec, builder), 2, { instant: true });
}

/** One row a series, of the latest values. */
export function table(spec: PanelSpec): PlacedPanel {
  const builder = new TableBuilder()
    .unit(spec.unit)
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({ id: 'organize', options: { excludeByName: { Time: true } } });
  return placed(spec, withThresholds(spec, builder), 6, { instant: true, format: PromQueryFormat.Table });
}

/** Buckets of one histogram over time. */
export function heatmap(spec: PanelSpec): PlacedPanel {
  return placed(spec, new HeatmapBuilder().unit(spec.unit), 6, { format: PromQueryFormat.Heatmap });
}

interface AnyBuilder {
  title(title: string): this;
  description(description: string): this;
  datasource(ref: typeof prometheus): this;
  links(links: Array<Builder<ReturnType<DashboardLinkBuilder['build']>>>): this;
  targets(targets: Array<Builder<Dataquery>>): this;
  build(): Panel;
}

function withThresholds<B extends { thresholds(builder: ThresholdsConfigBuilder): B }>(spec: PanelSpec, builder: B): B {
  const { amber, red } = spec;
  if (amber === undefined && red === undefined) return builder;
  const steps = [
    { value: null, color: 'green' },
    ...(amber === undefined ? [] : [{ value: amber, color: 'orange' }]),
    ...(red === undefined ? [] : [{ value: red, color: 'red' }]),
  ];
  return builder.thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps));
}

function placed(
  spec: PanelSpec,
  builder: AnyBuilder,
  span: number,
  how: { instant?: boolean; format?: PromQueryFormat } = {},
): PlacedPanel {
  const targets = spec.queries.map(({ expr, legend }, i) => {
    const query = new DataqueryBuilder()
      .expr(expr)
      .refId(String.fromCharCode(65 + i))
      .datasource(prometheus);
    if (legend !== undefined) query.legendFormat(legend);
    if (how.format !== undefined) query.format(how.format);
    return how.instant ? query.instant() : query.range();
  });
  const runbook = new DashboardLinkBuilder('Runbook')
    .type(DashboardLinkType.Link)
    .tooltip('What to do')
    .url(`\${runbooks}#${spec.runbook}`)
    .targetBlank(true);
  const panel = builder
    .title(spec.title)
    .description(spec.description)
    .datasource(prometheus)
    .links([runbook])
    .targets(targets)
    .build();
  return { panel, span: spec.span ?? span, height: spec.height ?? 8 };
}

/** On every dashboard: which Prometheus, and where the API that serves the runbooks is reached. */
export function commonVariables(): VariableModel[] {
  return [
    new DatasourceVariableBuilder('datasource')
      .label('Prometheus')
      .type('prometheus')
      .current({ selected: true, text: 'Prometheus', value: 'prometheus' })
      .build(),
    new TextBoxVariableBuilder('runbooks')
      .label('Runbooks')
      .hide(VariableHide.HideVariable)
      .defaultValue('http://localhost:17000/docs/runbooks.md')
      .build(),
  ];
}

/** A choice of the values that a label has on a metric. */
export function labelVariable(name: string, metric: string, label = name): VariableModel {
  const query = `label_values(${metric}, ${label})`;
  return new QueryVariableBuilder(name)
    .label(name.replaceAll('_', ' '))
    .datasource(prometheus)
    .query({ query, refId: name })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ selected: true, text: 'All', value: '$__all' })
    .build();
}
