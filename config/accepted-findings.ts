import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import type { Acceptance } from '../domain/readiness.ts';
import { readRegularFile } from './service-files.ts';
import { parseYamlFile, yamlErrorLines } from './yaml-file.ts';

/** Findings that somebody answers for, as a file of the repository: for an assessment without a fleet. */
const acceptedSchema = z.strictObject({
  accepted: z
    .array(
      z.strictObject({
        rule: z.string().min(1).max(60),
        fingerprint: z.string().regex(/^[0-9a-f]{16}$/, 'must be sixteen hexadecimal digits'),
        until: z.iso.date(),
        by: z.string().min(1).max(100),
        reason: z.string().min(1).max(500),
      }),
    )
    .max(5_000),
});

/** @throws DomainError CONFIG_INVALID that names every field */
export function readAccepted(path: string): Acceptance[] {
  const source = readRegularFile(path, 1024 * 1024);
  if (typeof source !== 'string') throw new DomainError('CONFIG_INVALID', `${path} ${source.rule}`);
  const parsed = parseYamlFile(source, path, {
    schema: acceptedSchema,
    tooLong: 'Remove old ones.',
    breaches: () => [],
  });
  if ('value' in parsed) return parsed.value.accepted;
  throw new DomainError('CONFIG_INVALID', yamlErrorLines(parsed.errors).join('\n'), { fields: parsed.errors });
}
