import { sql } from 'kysely';
import { runServicesWorkflowId } from '../../domain/ids.ts';
import { serviceSchema } from '../../domain/services.ts';
import { createServiceRunStore } from '../../stores/service-runs.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

/** What is written here; asked for alone, nothing else is run. */
export const serviceHistories = ['run-services-restarted'] as const;

/** Stopped and started again in waves, on a machine that does not trust the command: what needs it is held. */
export async function recordServices(
  { db, client }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  for (const [id, dependsOn] of [
    ['web', ['store']],
    ['store', []],
  ] as const) {
    const spec = serviceSchema.parse({ id, kind: 'process', command: ['serve'], dependsOn, source: 'startup.yaml:1' });
    await sql`insert into services (id, owner_id, spec, machine_id)
      values (${id}, ${labOwner}, ${JSON.stringify(spec)}::jsonb, 'pc2')`.execute(db);
  }
  const runs = createServiceRunStore(db);
  const { requestId } = await runs.request({ ownerId: labOwner, action: 'restart', serviceIds: ['store', 'web'] });
  const workflowId = runServicesWorkflowId(requestId);
  const handle = client.workflow.getHandle(workflowId);
  await until('the relay has started it', () =>
    handle.describe().then(
      () => true,
      () => false,
    ),
  );
  await handle.result();
  await save('run-services-restarted', workflowId);
  await sql`delete from service_runs`.execute(db);
  await sql`delete from services where id in ('web', 'store')`.execute(db);
}
