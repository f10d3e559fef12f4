import type { Dashboard, Panel, RowPanel, VariableModel } from '@grafana/grafana-foundation-sdk/dashboard';
import dashgen from 'grafana-dash-gen';

/**
 * grafana-dash-gen writes the form of Grafana 2: rows, spans of 12, panels that no longer exist. Here its dashboards and rows hold
 * panels of today and come out as classic JSON of schema 42, the newest form that Grafana takes from files.
 */
const schemaVersion = 42;
/** Columns of the old grid of 12 in the new one of 24. */
const columnsPerSpan = 2;

type OldPanel = Parameters<InstanceType<typeof dashgen.Row>['addPanel']>[0];

/** A panel of today with its place in a row. */
export interface PlacedPanel {
  panel: Panel;
  /** Of 12. */
  span: number;
  height: number;
}

export interface DashboardSpec {
  /** Kept for ever: links and bookmarks point at it. */
  uid: string;
  title: string;
  description: string;
  variables: readonly VariableModel[];
  rows: ReadonlyArray<{ title: string; panels: readonly PlacedPanel[] }>;
}

interface Generated {
  generate(): unknown;
}

export function buildDashboard(spec: DashboardSpec): Dashboard {
  const old = new dashgen.Dashboard({
    title: spec.title,
    tags: ['soulfra'],
    timezone: 'browser',
    refresh: '30s',
    sharedCrosshair: true,
    time: { from: 'now-6h', to: 'now' },
    schemaVersion,
    rows: spec.rows.map(({ title, panels }) => {
      const row = new dashgen.Row({ title });
      for (const placed of panels) row.addPanel(generatedBy(placed) as OldPanel);
      return row;
    }),
    links: [{ ...allDashboards } as never],
  });
  for (const variable of spec.variables) old.addTemplate(generatedBy(variable) as never);
  return modern(spec, old.generate() as unknown as OldDashboard);
}

function generatedBy(value: unknown): unknown {
  const generated: Generated = { generate: () => value };
  return generated;
}

const allDashboards = {
  title: 'Soulfra',
  type: 'dashboards',
  icon: 'external link',
  tooltip: 'The other dashboards',
  tags: ['soulfra'],
  asDropdown: true,
  targetBlank: false,
  includeVars: true,
  keepTime: true,
};

interface OldDashboard {
  title: string;
  tags: string[];
  timezone: string;
  editable: boolean;
  refresh: string;
  sharedCrosshair: boolean;
  schemaVersion: number;
  time: { from: string; to: string };
  rows: Array<{ title: string; panels: PlacedPanel[] }>;
  templating: { list: VariableModel[] };
  links: NonNullable<Dashboard['links']>;
}

function modern(spec: DashboardSpec, old: OldDashboard): Dashboard {
  return {
    uid: spec.uid,
    title: old.title,
    description: spec.description,
    tags: old.tags,
    timezone: old.timezone,
    editable: old.editable,
    graphTooltip: old.sharedCrosshair ? 1 : 0,
    time: old.time,
    refresh: old.refresh,
    schemaVersion: old.schemaVersion,
    templating: { list: old.templating.list },
    annotations: { list: [] },
    links: old.links,
    panels: onGrid(old.rows),
  };
}

/** Rows become row panels with their panels below; ids are counted here, so that they depend on nothing but the order. */
function onGrid(rows: OldDashboard['rows']): Array<Panel | RowPanel> {
  const panels: Array<Panel | RowPanel> = [];
  let y = 0;
  const nextId = () => panels.length + 1;
  for (const row of rows) {
    const gridPos = { h: 1, w: 12 * columnsPerSpan, x: 0, y };
    panels.push({ id: nextId(), type: 'row', title: row.title, collapsed: false, gridPos, panels: [] });
    y += 1;
    let x = 0;
    let lineHeight = 0;
    for (const { panel, span, height } of row.panels) {
      const w = span * columnsPerSpan;
      if (x + w > 12 * columnsPerSpan) {
        x = 0;
        y += lineHeight;
        lineHeight = 0;
      }
      panels.push({ ...panel, id: nextId(), gridPos: { h: height, w, x, y } });
      x += w;
      lineHeight = Math.max(lineHeight, height);
    }
    y += lineHeight;
  }
  return panels;
}
