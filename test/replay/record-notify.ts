import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { notificationWorkflowId } from '../../domain/ids.ts';
import { notifySchema } from '../../domain/notify.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import { openNotice } from '../../stores/notices.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner } from '../support/lab.ts';

/** What is written here; asked for alone, nothing else is run. */
export const notifyHistories = ['tell-notices', 'send-notification', 'send-digest', 'send-heartbeat'] as const;

/** What is told once it has waited for company, at the second try; a digest; a heartbeat. */
export async function recordNotify(
  { db, client, ...lab }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  let answered = 0;
  const receiver = http.createServer((_request, response) => {
    answered += 1;
    response.writeHead(answered === 1 ? 503 : 204).end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/topic`;
  const notify = notifySchema.parse({
    destinations: [{ id: 'phone', kind: 'ntfy', url }],
    allowPrivate: ['127.0.0.1'],
    groupFor: '3s',
    digest: { at: '08:00' },
    heartbeat: { url },
  });
  await lab.apply({ ...testFleet({ heavy: 2, light: 3 }), notify });
  const subject = newId('drop');
  await openNotice(db, {
    id: newId('notice'),
    ownerId: labOwner,
    kind: 'drop_waiting',
    key: `drop:${subject}`,
    subject,
    title: 'A drop waits for your word',
  });
  const run = async (type: string, workflowId: string) => {
    await client.workflow.execute(type, { workflowId, taskQueue: coordinationQueue, args: [{}] });
    return workflowId;
  };
  await save('tell-notices', await run('tellNotices', 'tell-notices:recorded'));
  const { id } = await db
    .selectFrom('notifications')
    .select('id')
    .where('kind', '=', 'notices')
    .orderBy('id')
    .executeTakeFirstOrThrow();
  // The relay may not have started it yet.
  const workflowId = notificationWorkflowId(id);
  await client.workflow.execute('sendNotification', {
    workflowId,
    workflowIdConflictPolicy: 'USE_EXISTING',
    taskQueue: coordinationQueue,
    args: [{ notificationId: id }],
  });
  await save('send-notification', workflowId);
  await save('send-digest', await run('sendDigest', 'digest:recorded'));
  await save('send-heartbeat', await run('sendHeartbeat', 'heartbeat:recorded'));
  receiver.close();
}
