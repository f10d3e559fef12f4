import { rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { mailWorkflowId, webhookDeliveryWorkflowId } from '../../domain/ids.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { newWebhookSecret } from '../../integrations/standard-webhooks.ts';
import { webhookSecretAbout } from '../../integrations/webhook-sender.ts';
import { newId } from '../../stores/ids.ts';
import { queueMail } from '../../stores/mails.ts';
import { inviteUser } from '../../stores/users.ts';
import { queueWebhookEvent } from '../../stores/webhook-events.ts';
import { addWebhook } from '../../stores/webhooks.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

/**
 * A mail and an event, each with a try that fails before the one that arrives.
 * @param mailbox where the workers' mailbox is to be
 */
export async function recordOutbound(
  { db, client, ...lab }: Lab,
  { mailbox, webhookKey }: { mailbox: string; webhookKey: string },
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  await lab.apply({ ...testFleet({ heavy: 2, light: 3 }), webhooks: { allowPrivate: ['127.0.0.1'] } });
  // No folder can be made where a file lies; what was recorded before has mailed its receipts there.
  rmSync(mailbox, { recursive: true, force: true });
  writeFileSync(mailbox, '');
  const address = 'ada@harbour.example';
  await db.transaction().execute(async (tx) => {
    await inviteUser(tx, { operatorId: labOwner, address, role: 'member', name: 'Ada' });
    await queueMail(tx, { ownerId: labOwner, userId: null, key: 'sign_in:recorded', template: 'sign_in', address });
  });
  const mail = await db
    .selectFrom('mails')
    .select('id')
    .where('key', '=', 'sign_in:recorded')
    .executeTakeFirstOrThrow();
  const tries = () => db.selectFrom('mailAttempts').select('outcome').where('mailId', '=', mail.id).execute();
  await until('a try failed', async () => (await tries()).length > 0);
  rmSync(mailbox);
  const mailWorkflow = mailWorkflowId(mail.id, 0);
  await client.workflow.getHandle(mailWorkflow).result();
  await save('send-mail-sent', mailWorkflow);

  let answered = 0;
  const receiver = http.createServer((_request, response) => {
    answered += 1;
    response.writeHead(answered === 1 ? 503 : 204).end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  const secretId = newId('webhookSecret');
  const box = createSecretBox(Buffer.from(webhookKey, 'base64url'));
  const sealed = box.seal(newWebhookSecret(), webhookSecretAbout(secretId));
  await db.transaction().execute(async (tx) => {
    const webhook = {
      ownerId: labOwner,
      id: newId('webhook'),
      url: `http://127.0.0.1:${port}/`,
      secret: { id: secretId, sealed },
    };
    await addWebhook(tx, { ...webhook, types: ['license.revoked'] });
    await queueWebhookEvent(tx, labOwner, 'license.revoked', {
      licenseId: newId('license'),
      holderId: newId('user'),
      packageHash: 'a'.repeat(64),
      purchaseId: null,
      revokedAt: '2026-11-21T10:00:00.000Z',
    });
  });
  const delivery = await db.selectFrom('webhookDeliveries').select('id').executeTakeFirstOrThrow();
  const deliveryWorkflow = webhookDeliveryWorkflowId(delivery.id, 0);
  await until('the delivery was begun', async () => answered > 0);
  await client.workflow.getHandle(deliveryWorkflow).result();
  receiver.close();
  await save('deliver-webhook-delivered', deliveryWorkflow);
}
