import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { Ajv } from 'ajv';
import dashgen from 'grafana-dash-gen';
import { createGenerator } from 'ts-json-schema-generator';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { dashboards } from '../../observability/dashboards/all.ts';
import { metricCatalogue } from '../../observability/metrics/catalogue.ts';
import { runbookAnchors } from '../../observability/runbooks.ts';
import { core, jobs, server } from '../../observability/temporal-metrics.ts';
import { filledIn, metricsIn, withoutPart } from '../support/promql.ts';

/** As Grafana reads them. */
const built = dashboards.map(({ file, build }) => ({
  file,
  dashboard: JSON.parse(JSON.stringify(build())) as Dashboard,
}));
const panelsOf = (dashboard: { panels?: unknown[] }) =>
  (dashboard.panels as Panel[]).filter((panel) => panel.type !== 'row');

/**
 * Grafana's published types of what it reads, as a JSON Schema that lets nothing unknown pass. They leave open what a query is, since
 * each data source has its own: ours are Prometheus's.
 */
let is: (type: 'Dashboard' | 'Panel' | 'RowPanel', value: unknown) => unknown[];
beforeAll(() => {
  const ajv = new Ajv({ allErrors: true, strict: false });
  const queries = publishedType('prometheus', 'Dataquery').definitions;
  const { definitions } = publishedType('dashboard', 'Dashboard');
  ajv.addSchema({ $id: 'grafana', definitions: { ...definitions, ...queries } });
  is = (type, value) => {
    ajv.validate(`grafana#/definitions/${type}`, value);
    return (ajv.errors ?? []).map(({ instancePath, message, params }) => ({ instancePath, message, params }));
  };
  // Reads the sources of the types, which takes its time on a machine that does much else.
}, 120_000);

function publishedType(part: string, type: string) {
  const folder = 'node_modules/@grafana/grafana-foundation-sdk/dist';
  const path = join(repositoryRoot, folder, part, 'types.gen.d.ts');
  return createGenerator({ path, type, skipTypeCheck: true, additionalProperties: false }).createSchema(type);
}

describe.each(built)('$file', ({ dashboard }) => {
  test("is what Grafana's published types say", () => {
    // Panels by themselves, since of two forms that do not fit no one could say which was meant.
    expect(is('Dashboard', { ...dashboard, panels: [] })).toEqual([]);
    for (const panel of dashboard.panels ?? [])
      expect(is(panel.type === 'row' ? 'RowPanel' : 'Panel', panel), panel.title).toEqual([]);
    for (const changed of [{ panel: 1 }, { uid: 5 }, { rows: [] }])
      expect(is('Dashboard', { ...dashboard, ...changed })).not.toEqual([]);
  });

  test('every panel says what it shows, in which unit, and where it is written what to do', () => {
    const panels = panelsOf(dashboard);
    expect(panels.length).toBeGreaterThan(5);
    for (const panel of panels) {
      const { title, description, fieldConfig, links = [], targets = [] } = panel;
      expect(title, 'title').toMatch(/\S/);
      expect(description, title).toMatch(/\S{3}.*[.]$/);
      expect(fieldConfig?.defaults.unit, title).toMatch(/\S/);
      expect(targets.length, title).toBeGreaterThan(0);
      const anchors = links.map(({ url }) => url?.split('#')[1]);
      expect(runbookAnchors, title).toEqual(expect.arrayContaining(anchors));
      expect(anchors, title).toHaveLength(1);
    }
  });

  test('panels have ids of their own and lie side by side on the grid of 24', () => {
    const panels = dashboard.panels ?? [];
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = new Set<string>();
    for (const { gridPos } of panels) {
      const { x, y, w, h } = gridPos!;
      expect(x + w).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column += 1)
        for (let line = y; line < y + h; line += 1) {
          expect(cells.has(`${column},${line}`)).toBe(false);
          cells.add(`${column},${line}`);
        }
    }
  });

  test('every variable that is used is there', () => {
    const names = (dashboard.templating.list ?? []).map(({ name }) => name);
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?([a-z]\w*)/g)].map(([, name]) => name);
    expect(names).toEqual(expect.arrayContaining([...new Set(used)]));
  });

  test('every expression is PromQL and asks for metrics that somebody exports', () => {
    const known = new Set<string>([
      ...metricCatalogue.map(({ name }) => name),
      ...Object.values(core),
      ...Object.values(server),
      'up',
    ]);
    for (const panel of panelsOf(dashboard)) {
      for (const { expr } of panel.targets as unknown as Array<{ expr: string }>) {
        const metrics = metricsIn(filledIn(expr));
        expect(metrics.length, expr).toBeGreaterThan(0);
        for (const metric of metrics)
          expect(known, `${panel.title}: ${expr}`).toContain(known.has(metric) ? metric : withoutPart(metric));
      }
    }
  });
});

test('what grafana-dash-gen writes by itself would not pass', () => {
  const row = new dashgen.Row({ title: 'row' });
  row.addPanel(new dashgen.Panels.Graph({ title: 'old' }));
  const old = new dashgen.Dashboard({ title: 'old', rows: [row] }).generate();
  expect(is('Dashboard', JSON.parse(JSON.stringify(old)))).not.toEqual([]);
});

test('uids, titles and files are each used once, and a second making gives the same', () => {
  for (const key of ['uid', 'title'] as const)
    expect(new Set(built.map(({ dashboard }) => dashboard[key])).size).toBe(dashboards.length);
  const again = dashboards.toReversed().map(({ build }) => JSON.stringify(build()));
  expect(again.toReversed()).toEqual(built.map(({ dashboard }) => JSON.stringify(dashboard)));
});

test('docs/runbooks.md has a heading for every anchor, and no other', () => {
  const text = readFileSync(join(repositoryRoot, 'docs/runbooks.md'), 'utf8');
  const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!.toLowerCase().replaceAll(' ', '-'));
  expect(headings).toEqual([...runbookAnchors]);
});

test('what Grafana is provisioned with names the same data source, and a folder with all dashboards', () => {
  const read = (file: string) => parse(readFileSync(join(repositoryRoot, 'deploy/grafana', file), 'utf8')) as never;
  const { datasources } = read('provisioning/datasources/prometheus.yaml') as {
    datasources: Array<{ uid: string; type: string }>;
  };
  for (const { dashboard } of built) {
    const variable = dashboard.templating.list?.find(({ name }) => name === 'datasource');
    expect(datasources.map(({ uid }) => uid)).toContain(variable?.current?.value);
  }
  const { providers } = read('provisioning/dashboards/soulfra.yaml') as { providers: Array<{ type: string }> };
  expect(providers.map(({ type }) => type)).toEqual(['file']);
  expect(readdirSync(join(repositoryRoot, 'deploy/grafana/dashboards')).sort()).toEqual(
    dashboards.map(({ file }) => file).sort(),
  );
});

test('deploy/prometheus/prometheus.yaml has the jobs that expressions ask for', () => {
  const file = join(repositoryRoot, 'deploy/prometheus/prometheus.yaml');
  expect(existsSync(file)).toBe(true);
  const { scrape_configs } = parse(readFileSync(file, 'utf8')) as { scrape_configs: Array<{ job_name: string }> };
  expect(scrape_configs.map(({ job_name }) => job_name)).toEqual(expect.arrayContaining(Object.values(jobs)));
});
