import { exportFleet } from '../config/fleet-file.ts';
import { DomainError } from '../domain/errors.ts';
import type { LivingAgent } from '../domain/fleet-changes.ts';
import { bornOutsideLines, livingFleet } from '../domain/fleet-living.ts';
import type { Fleet } from '../domain/fleet.ts';
import type { ServiceFile } from '../domain/services.ts';
import { contentETag } from './preconditions.ts';

interface File {
  path: string;
  source: string;
}

export interface LivingFiles {
  /** fleet.yaml is the first. */
  files: [File, ...File[]];
  etag: string;
}

/** The fleet as it lives as files: fleet.yaml, and those of fleet.d as they were applied. */
export function livingFiles(
  fleet: Fleet,
  living: readonly LivingAgent[],
  serviceFiles: readonly ServiceFile[],
): LivingFiles {
  const files: LivingFiles['files'] = [
    { path: 'fleet.yaml', source: exportFleet(livingFleet(fleet, living), bornOutsideLines(living)) },
    ...serviceFiles.map(({ name, source }) => ({ path: `fleet.d/${name}`, source })),
  ];
  return { files, etag: contentETag(JSON.stringify(files)) };
}

/** @throws PRECONDITION_FAILED where the fleet is not any more what a change was made of */
export function refuseChangedSince(ifMatch: string | undefined, living: () => LivingFiles | undefined): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  if (living()?.etag !== ifMatch.trim())
    throw new DomainError('PRECONDITION_FAILED', 'the fleet was changed since its file was read');
}
