import { stringify } from 'yaml';
import { breachesOfOrder, breachesOfRollout, type RolloutFile, rolloutFileSchema } from '../domain/rollouts.ts';
import { type ShippedFor, shippedRollout } from '../domain/shipped-rollout.ts';
import { parseYamlFile, type YamlFileError } from './yaml-file.ts';

/**
 * Reads rollout.yaml: the file, or every error at once with its line.
 * @param machines of fleet.yaml; undefined where there is none to compare with
 */
export function parseRollout(
  source: string,
  path: string,
  machines: readonly string[] | undefined,
): { rollout: RolloutFile } | { errors: YamlFileError[] } {
  const read = parseYamlFile(source, path, {
    schema: rolloutFileSchema,
    tooLong: 'Divide it into several files.',
    breaches: breachesOfOrder,
    lastly: (file) => breachesOfRollout(file, { machines }),
  });
  return 'errors' in read ? read : { rollout: read.value };
}

/** The shipped packages for a fleet and its repository, as the text of rollout.yaml. */
export function writtenRollout(shipped: ShippedFor): string {
  return [
    '# The work packages that bring this fleet to production, written by `soulfra rollout init`; docs/rollout.md says what each field means.',
    '# It is yours: correct steps, add commands of your trust files, leave out what does not concern you. `soulfra rollout plan` checks it.',
    stringify(shippedRollout(shipped), { lineWidth: 120 }),
  ].join('\n');
}
