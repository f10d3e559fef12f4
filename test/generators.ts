import { writeFileSync } from 'node:fs';
import { errorsText, openApiText } from '../api/reference.ts';
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
    files: ['docs/openapi.json', 'docs/errors.md'],
    write: async ({ at }) => {
      writeFileSync(at('docs/openapi.json'), await openApiText());
      writeFileSync(at('docs/errors.md'), errorsText());
    },
  },
  {
    files: ['docs/metrics.md'],
    write: async ({ at }) => writeFileSync(at('docs/metrics.md'), metricsText()),
  },
];
