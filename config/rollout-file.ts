import { breachesOfOrder, breachesOfRollout, type RolloutFile, rolloutFileSchema } from '../domain/rollouts.ts';
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
