import { workWorkflowId } from '../../domain/ids.ts';
import { serviceSchema } from '../../domain/services.ts';
import type { WorkJoin } from '../../domain/work.ts';
import { newId } from '../../stores/ids.ts';
import { cancelWork, createWorkStore, submitWork } from '../../stores/work.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

/** What is written here; asked for alone, nothing else is run. */
export const workHistories = [
  'run-work-claimed',
  'run-work-lost',
  'run-work-canceled',
  'run-work-expired',
  'run-work-native-expired',
] as const;

/** Work that is claimed and completed, that is canceled while it is offered, whose lease runs out for good, and that expires: in somebody's hands, and with nobody native there. */
export async function recordWork(
  { db, client }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const works = createWorkStore(db);
  const submit = async (serviceId: string, deadlineSeconds = 600) => {
    const id = newId('work');
    const asked = {
      input: { recorded: true },
      priority: 3,
      attempts: 1,
      leaseSeconds: 5,
      requestHash: Buffer.alloc(32),
    };
    const work = {
      ...asked,
      id,
      ownerId: labOwner,
      serviceId,
      submittedBy: null,
      deadline: undefined,
      deadlineSeconds,
    };
    await db.transaction().execute((tx) => submitWork(tx, work));
    return id;
  };
  const ended = (id: string) => client.workflow.getHandle(workWorkflowId(id)).result();
  const offered = (id: string) =>
    until(`${id} is offered`, async () => {
      const row = await db.selectFrom('works').select('taskToken').where('id', '=', id).executeTakeFirstOrThrow();
      return row.taskToken !== null;
    });
  const joins: ReadonlyArray<[string, WorkJoin]> = [
    ['recorded-scribe', 'work'],
    ['recorded-painter', 'native'],
  ];
  for (const [id, join] of joins) {
    const spec = JSON.stringify(serviceSchema.parse({ id, kind: 'process', joins: join, source: 'recorded' }));
    await db.insertInto('services').values({ id, ownerId: labOwner, spec }).execute();
  }
  const done = await submit('recorded-scribe');
  await offered(done);
  const claim = (await works.claim('recorded-scribe'))!;
  await client.activity.complete(claim.taskToken, { state: 'completed' });
  await ended(done);
  await save('run-work-claimed', workWorkflowId(done));
  const lost = await submit('recorded-scribe');
  await offered(lost);
  await works.claim('recorded-scribe');
  await ended(lost);
  await save('run-work-lost', workWorkflowId(lost));
  const canceled = await submit('recorded-scribe');
  await offered(canceled);
  await db.transaction().execute((tx) => cancelWork(tx, labOwner, canceled));
  await client.workflow.getHandle(workWorkflowId(canceled)).cancel();
  await ended(canceled);
  await save('run-work-canceled', workWorkflowId(canceled));
  const late = await submit('recorded-scribe', 4);
  await offered(late);
  await works.claim('recorded-scribe');
  await ended(late);
  await save('run-work-expired', workWorkflowId(late));
  const expired = await submit('recorded-painter', 2);
  await until('its workflow has ended', async () => {
    const row = await db.selectFrom('works').select('endedAt').where('id', '=', expired).executeTakeFirstOrThrow();
    return row.endedAt !== null;
  });
  await ended(expired);
  await save('run-work-native-expired', workWorkflowId(expired));
}
