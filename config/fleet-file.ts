import { readFileSync } from 'node:fs';
import { Document, isPair, isScalar, visit } from 'yaml';
import { DomainError } from '../domain/errors.ts';
import { type Fleet, fleetAgents, fleetShapeSchema } from '../domain/fleet.ts';
import { breachesOf } from '../domain/fleet-rules.ts';
import { personaOf } from '../domain/personas.ts';
import { frozen } from './frozen.ts';
import { type Breach, parseYamlFile, type YamlFileError, yamlErrorLines } from './yaml-file.ts';

export type FleetFileError = YamlFileError;

/** Reads the text of fleet.yaml: the frozen fleet, or every error at once in the order of the file. */
export function parseFleet(source: string, path = 'fleet.yaml'): { fleet: Fleet } | { errors: FleetFileError[] } {
  const parsed = parseYamlFile(source, path, {
    schema: fleetShapeSchema,
    tooLong: 'Use archetypes with counts.',
    breaches: breachesOf,
    lastly: nameClashes,
  });
  return 'value' in parsed ? { fleet: frozen(parsed.value) } : parsed;
}

/** The fleet of a file, or a CONFIG_INVALID that tells every error with its line. */
export function loadFleetFile(path: string): Fleet {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new DomainError('CONFIG_INVALID', `${path} cannot be read; name another with --file, or export one`, {
      cause,
    });
  }
  const parsed = parseFleet(source, path);
  if ('fleet' in parsed) return parsed.fleet;
  throw new DomainError('CONFIG_INVALID', yamlErrorLines(parsed.errors).join('\n'), { fields: parsed.errors });
}

/** The fleet as text that parses to the same fleet again; small blocks on one line each. */
/** @param comment lines to stand at the end, for what no fleet.yaml can hold */
export function exportFleet(fleet: Fleet, comment: readonly string[] = []): string {
  const doc = new Document(fleet, { aliasDuplicateObjects: false });
  if (comment.length > 0) doc.comment = comment.map((line) => ` ${line}`).join('\n');
  visit(doc, {
    Collection(_, node, ancestors) {
      if (ancestors.length < 3) return;
      const values = node.items.map((item) => (isPair(item) ? item.value : item));
      const small = values.every((value) => isScalar(value) && String(value.value).length <= 30);
      if (small && String(values).length <= 80) node.flow = true;
    },
  });
  return doc.toString({ lineWidth: 0, flowCollectionPadding: true });
}

/** Names are unique in the database; those made by rule differ already, so only overrides can clash. */
function nameClashes(fleet: Fleet): Breach[] {
  const named = Object.entries(fleet.agents).filter(([, override]) => override.name !== undefined);
  if (named.length === 0) return [];
  const holders = new Map<string, string[]>();
  for (const agent of fleetAgents(fleet)) {
    const { name } = personaOf(agent);
    holders.set(name, [...(holders.get(name) ?? []), agent.id]);
  }
  return named.flatMap(([id, { name = '' }]) => {
    const others = (holders.get(name) ?? []).filter((holder) => holder !== id);
    if (others.length === 0) return [];
    const at = ['agents', id, 'name'];
    return [{ at, rule: `must differ from the name of ${others[0]}`, mend: 'Choose another name.' }];
  });
}
