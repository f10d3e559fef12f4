import { type Finding, finding } from './readiness.ts';
import type { ReadinessRuleId } from './readiness-rules.ts';
import type { Inventory } from './readiness-inventory.ts';
import type { Service } from './services.ts';

export function assessConfiguration(inventory: Inventory): Finding[] {
  const { conflicts, oldCopies, variablesMissing, services } = inventory;
  return [
    ...conflicts.map(({ name, first, second, said }) =>
      finding('described-differently', {
        subject: name,
        place: first,
        evidence: `${said} (${first} and ${second}); the first is what is read here`,
      }),
    ),
    ...oldCopies.flatMap(ofCopy),
    ...variablesMissing.map(({ name, service, place }) =>
      finding('variable-unset', {
        subject: `${service} ${name}`,
        place,
        evidence: `${service} reads ${name}, which has no value and no default`,
      }),
    ),
    ...unusedOf(inventory),
    ...services.flatMap(unresolvedOf),
  ];
}

function ofCopy({ file, services, only }: Inventory['oldCopies'][number]): Finding[] {
  const copy = finding('deprecated-copy', {
    subject: file,
    place: `${file}:1`,
    evidence: services.length === 0 ? 'its name says that it is old' : `it still describes ${listed(services)}`,
  });
  return [
    ...(only.length === services.length && services.length > 0 ? [] : [copy]),
    ...only.map((name) =>
      finding('only-in-old-copy', { subject: name, place: `${file}:1`, evidence: `${name} stands in ${file} alone` }),
    ),
  ];
}

function listed(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
}

function unusedOf({ variablesSet, namesUsed }: Inventory): Finding[] {
  const used = new Set(namesUsed);
  return variablesSet
    .filter(({ name }) => !used.has(name))
    .map(({ name, file, line }) =>
      finding('variable-unused', {
        subject: `${file} ${name}`,
        place: `${file}:${line}`,
        evidence: `no other file has the word ${name}`,
      }),
    );
}

/** What an import could not settle, as rules; the sentences are those of config/imports. */
const sentences: Array<[RegExp, ReadinessRuleId]> = [
  [/^(?<what>\w+) has no value, for .+ \((?<place>[^()]+:\d+)\)$/, 'variable-unset'],
  [/^it depends on (?<what>.+), which nothing here starts \((?<place>[^()]+:\d+)\)$/, 'dependency-missing'],
  [/^(?<what>.+) is not in the repository \((?<place>[^()]+:\d+)\)$/, 'script-missing'],
  [/^(?<what>.+) is no port: .* \((?<place>[^()]+:\d+)\)$/, 'port-unreadable'],
  [/^(?<what>port rule .+) leads to -?\d+, which is no port$/, 'port-unreadable'],
];

function unresolvedOf({ id, source, unresolved = [] }: Service): Finding[] {
  return unresolved.flatMap((said) => {
    for (const [pattern, rule] of sentences) {
      const found = pattern.exec(said)?.groups;
      // A file of variables outside the repository may be there where the service runs.
      if (found === undefined || (rule === 'script-missing' && found['what']!.startsWith('/'))) continue;
      return [
        finding(rule, {
          subject: `${id} ${found['what']}`,
          place: found['place'] ?? source,
          evidence: said.replace(/ \([^()]+:\d+\)$/, ''),
        }),
      ];
    }
    return [];
  });
}
