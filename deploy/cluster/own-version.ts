import { appVersion } from '../../config/app-version.ts';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import { DomainError } from '../../domain/errors.ts';
import { output } from '../embedded/resolve.ts';
import { compareVersions } from '../embedded/version.ts';

/** Whether another Soulfra is newer than this one. */
export const isNewer = (app: string) => compareVersions(app, appVersion()) > 0;

/** Of the Postgres that a restored cluster is started with. */
export async function majorOf({ postgres }: ClusterPlace): Promise<number> {
  const said = await output(postgres, ['--version'], { timeoutMs: 20_000 });
  const major = /\(PostgreSQL\) (\d+)/.exec(said)?.[1];
  if (major === undefined) throw new DomainError('UNAVAILABLE', `${postgres} is no Postgres: ${said.trim()}`);
  return Number(major);
}
