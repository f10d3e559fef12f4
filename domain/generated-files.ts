import { bareServices, composeLines, dockerfileLines } from './container-package.ts';
import { cleanupRows, runbookLines } from './readiness-documents.ts';
import type { Inventory } from './readiness-inventory.ts';
import type { ReportedFinding } from './readiness-reports.ts';
import type { GeneratedKind } from './rollouts.ts';

/** Where readers of the repository pass over: what is generated describes nothing until a person takes it into use. */
const folder = 'templates/soulfra';

export interface GeneratedFrom {
  inventory: Inventory;
  /** Findings that nobody has accepted. */
  open: readonly ReportedFinding[];
}

/** The files of a `generate` step by their names, each for what lacks it; none where nothing does. The same of the same. */
export function generatedFiles(kind: GeneratedKind, from: GeneratedFrom): Map<string, string> {
  return new Map([...generators[kind](from)].map(([name, lines]) => [name, `${lines.join('\n')}\n`]));
}

type Generator = (from: GeneratedFrom) => Map<string, string[]>;

const generators: Record<GeneratedKind, Generator> = {
  'container-package': ({ inventory }) => {
    const bare = bareServices(inventory.services);
    const files = new Map<string, string[]>();
    if (bare.length === 0) return files;
    const head = (what: string) => [
      `# ${what} Made of what the files of this repository say: read it before you use it, and move it to where it belongs.`,
    ];
    files.set(`${folder}/Dockerfile`, [
      ...head('One image for the services that run as plain processes.'),
      ...dockerfileLines(bare),
    ]);
    for (const [machine, services] of Map.groupBy(bare, (service) => service.machine))
      files.set(`${folder}/compose${machine === undefined ? '' : `.${machine}`}.yaml`, [
        ...head(`The services of ${machine ?? 'no machine that is named'}.`),
        ...composeLines(services, {
          build: `{ context: ../.., dockerfile: ${folder}/Dockerfile }`,
          envFile: '../../.env',
        }),
      ]);
    return files;
  },

  environment: ({ inventory: { variablesMissing } }) => {
    const byName = Map.groupBy(variablesMissing, ({ name }) => name);
    if (byName.size === 0) return new Map();
    const lines = [...byName.keys()]
      .toSorted()
      .flatMap((name) => [
        '',
        ...byName.get(name)!.map(({ service, place }) => `# ${plain(service)} (${plain(place)})`),
        `${name}=`,
      ]);
    return new Map([
      [
        `${folder}/env.example`,
        ['# Variables that services read and nothing sets. Secrets belong into no file of git.', ...lines],
      ],
    ]);
  },

  runbooks: ({ inventory }) =>
    inventory.services.length === 0 ? new Map() : new Map([['docs/runbooks/services.md', runbookLines(inventory)]]),

  'cleanup-plan': ({ open }) => {
    const rows = cleanupRows(open);
    if (rows.length < 2) return new Map();
    return new Map([
      [
        'docs/soulfra/cleanup-plan.md',
        [
          '# Cleanup plan',
          '',
          'What can go, with the reason. Nothing of it was deleted: take out on a branch what you agree to, and strike it here.',
          '',
          ...rows,
        ],
      ],
    ]);
  },
};

/** It stands in a comment of one line. */
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');
}
