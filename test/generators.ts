import { readFileSync, writeFileSync } from 'node:fs';
import { operationTypesText } from '../api/operation-types.ts';
import { errorsText, openApiText } from '../api/reference.ts';
import { deployPage } from '../deploy/compose/port-table.ts';
import { readinessRulesText } from '../domain/readiness-documents.ts';
import { alertGroups } from '../observability/alerts/all.ts';
import { rulesFile, testsFile } from '../observability/alerts/files.ts';
import { dashboards } from '../observability/dashboards/all.ts';
import { metricsText } from '../observability/metrics/table.ts';
import { generateDatabaseFiles } from '../stores/generate-types.ts';

/** Makes checked-in files; add one here and `npm run gen` writes it, `npm run check` compares it. */
export interface Generator {
  /** Paths in the repository. */
  files: readonly string[];
  write(to: { databaseUrl: string; at: (file: string) => string }): Promise<void>;
}

export const generators: readonly Generator[] = [
  {
    files: ['stores/database.generated.ts', 'stores/schema.generated.txt'],
    write: ({ databaseUrl, at }) =>
      generateDatabaseFiles(databaseUrl, at('stores/database.generated.ts'), at('stores/schema.generated.txt')),
  },
  {
    files: ['docs/openapi.json', 'ui/api.generated.ts', 'docs/errors.md'],
    write: async ({ at }) => {
      const openApi = await openApiText();
      writeFileSync(at('docs/openapi.json'), openApi);
      writeFileSync(at('ui/api.generated.ts'), operationTypesText(openApi));
      writeFileSync(at('docs/errors.md'), errorsText());
    },
  },
  {
    files: dashboards.map(({ file }) => dashboardPath(file)),
    write: async ({ at }) => {
      for (const { file, build } of dashboards)
        writeFileSync(at(dashboardPath(file)), `${JSON.stringify(build(), null, 2)}\n`);
    },
  },
  {
    files: alertGroups.flatMap(({ name }) => [rulesPath(name), testsPath(name)]),
    write: async ({ at }) => {
      for (const group of alertGroups) {
        writeFileSync(at(rulesPath(group.name)), rulesFile(group));
        writeFileSync(at(testsPath(group.name)), testsFile(group));
      }
    },
  },
  {
    files: ['docs/metrics.md'],
    write: async ({ at }) => writeFileSync(at('docs/metrics.md'), metricsText()),
  },
  {
    files: ['docs/deploy.md'],
    write: async ({ at }) => {
      const page = readFileSync(new URL('../docs/deploy.md', import.meta.url), 'utf8');
      writeFileSync(at('docs/deploy.md'), deployPage(page));
    },
  },
  {
    files: ['docs/readiness-rules.md'],
    write: async ({ at }) => writeFileSync(at('docs/readiness-rules.md'), readinessRulesText()),
  },
];

function dashboardPath(file: string): string {
  return `deploy/grafana/dashboards/${file}`;
}
function rulesPath(group: string): string {
  return `deploy/prometheus/rules/${group}.yaml`;
}
function testsPath(group: string): string {
  return `deploy/prometheus/tests/${group}.yaml`;
}
