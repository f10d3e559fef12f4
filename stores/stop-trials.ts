import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { StopTrial } from '../domain/readiness-inventory.ts';
import { commandText } from '../domain/service-trust.ts';
import { storedService } from '../domain/services.ts';
import { clockNow } from './ballot-rows.ts';
import type { Executor } from './database.ts';

/** How services took SIGTERM where somebody tried it on their machine (`soulfra readiness --try-stop --keep`). */

export interface NewStopTrial {
  ownerId: string;
  /** Of the command that was tried, as trust files have it. */
  commandSha256: string;
  trial: Pick<StopTrial, 'service' | 'ended' | 'said' | 'clean' | 'seconds' | 'left'>;
  toldBy: string;
}

/** What was seen longer ago says little of what runs now. */
const trialDays = 90;

/** The last trial of a service counts. @throws NOT_FOUND */
export async function keepStopTrial(
  db: Executor,
  { ownerId, commandSha256, trial: { service, ...ended }, toldBy }: NewStopTrial,
): Promise<void> {
  const known = await db
    .selectFrom('services')
    .select('id')
    .where('id', '=', service)
    .where('ownerId', '=', ownerId)
    .where('retiredAt', 'is', null)
    .executeTakeFirst();
  if (known === undefined)
    throw new DomainError('NOT_FOUND', `no service ${service}; \`soulfra apply\` makes it known`);
  const row = { commandSha256, ended: JSON.stringify(ended), triedAt: clockNow, toldBy };
  await db
    .insertInto('stopTrials')
    .values({ ownerId, serviceId: service, ...row })
    .onConflict((conflict) => conflict.columns(['ownerId', 'serviceId']).doUpdateSet(row))
    .execute();
}

/** As an assessment takes them: what is too old, or of another command than the service has now, counts as not tried, with that reason. */
export async function stopTrialsOf(db: Executor, ownerId: string): Promise<StopTrial[]> {
  const { rows } = await sql<{
    serviceId: string;
    spec: unknown;
    commandSha256: string;
    ended: Omit<StopTrial, 'service' | 'refused' | 'triedOn'>;
    triedOn: string;
    isOld: boolean;
  }>`
    select t.service_id, s.spec, t.command_sha256, t.ended, to_char(t.tried_at at time zone 'UTC', 'YYYY-MM-DD') as tried_on,
      t.tried_at < ${clockNow} - make_interval(days => ${trialDays}) as is_old
    from stop_trials t join services s on s.id = t.service_id and s.owner_id = t.owner_id
    where t.owner_id = ${ownerId} and s.retired_at is null order by t.service_id`.execute(db);
  return rows.map(({ serviceId, spec, commandSha256, ended, triedOn, isOld }) => {
    const changed =
      commandSha256 !==
      createHash('sha256')
        .update(commandText(storedService(spec), []))
        .digest('hex');
    const refused = changed
      ? `it was tried on ${triedOn}, with another command than it has now`
      : isOld
        ? `it was last tried on ${triedOn}, over ${trialDays} days ago`
        : null;
    return { service: serviceId, refused, ...ended, triedOn };
  });
}
