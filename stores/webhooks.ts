import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { mostWebhookSecrets, mostWebhooks, type WebhookEventType } from '../domain/webhooks.ts';
import type { DatabaseTransaction } from './database.ts';
import { takeLock } from './locks.ts';
import { resolveNotice } from './notices.ts';

export interface WebhookRef {
  ownerId: string;
  id: string;
}

interface SealedWebhookSecret {
  id: string;
  sealed: Buffer;
}

export const webhookNotice = (id: string) => `webhook:${id}`;

/** @throws CONFLICT where the owner has as many as one may */
export async function addWebhook(
  tx: DatabaseTransaction,
  webhook: WebhookRef & { url: string; types: readonly WebhookEventType[]; secret: SealedWebhookSecret },
): Promise<void> {
  const { ownerId, id, url, types, secret } = webhook;
  await takeLock(tx, 'webhooks', ownerId);
  const known = await tx.selectFrom('webhooks').select('id').where('ownerId', '=', ownerId).execute();
  if (known.length >= mostWebhooks)
    throw new DomainError('CONFLICT', `you have ${known.length} endpoints already; remove one first`);
  await tx
    .insertInto('webhooks')
    .values({ id, ownerId, url, types: [...types] })
    .execute();
  await tx
    .insertInto('webhookSecrets')
    .values({ ...secret, ownerId, webhookId: id })
    .execute();
}

/** The row's lock: secrets and deliveries of an endpoint change one after the other. @throws NOT_FOUND */
async function lockWebhook(tx: DatabaseTransaction, { ownerId, id }: WebhookRef): Promise<void> {
  const row = await tx
    .selectFrom('webhooks')
    .select('id')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .forUpdate()
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no webhook ${id}`);
}

/** With its secrets and deliveries; one under way finds it gone. @throws NOT_FOUND */
export async function removeWebhook(tx: DatabaseTransaction, ref: WebhookRef): Promise<void> {
  await lockWebhook(tx, ref);
  await tx.deleteFrom('webhooks').where('id', '=', ref.id).execute();
  await resolveNotice(tx, webhookNotice(ref.id));
}

/** Events are delivered to it again from now on; what failed meanwhile waits for somebody to ask for it. @throws NOT_FOUND */
export async function enableWebhook(tx: DatabaseTransaction, ref: WebhookRef): Promise<void> {
  await lockWebhook(tx, ref);
  await tx.updateTable('webhooks').set({ state: 'active', reason: '' }).where('id', '=', ref.id).execute();
  await resolveNotice(tx, webhookNotice(ref.id));
}

/** @throws NOT_FOUND · CONFLICT where two are live already */
export async function addWebhookSecret(
  tx: DatabaseTransaction,
  ref: WebhookRef,
  secret: SealedWebhookSecret,
): Promise<void> {
  await lockWebhook(tx, ref);
  const live = await tx.selectFrom('webhookSecrets').select('id').where('webhookId', '=', ref.id).execute();
  if (live.length >= mostWebhookSecrets)
    throw new DomainError('CONFLICT', `${ref.id} has ${live.length} secrets already; remove one first`);
  await tx
    .insertInto('webhookSecrets')
    .values({ ...secret, ownerId: ref.ownerId, webhookId: ref.id })
    .execute();
}

/** @throws NOT_FOUND · CONFLICT for the last one: nothing would be signed */
export async function removeWebhookSecret(tx: DatabaseTransaction, ref: WebhookRef, secretId: string): Promise<void> {
  await lockWebhook(tx, ref);
  const live = await tx.selectFrom('webhookSecrets').select('id').where('webhookId', '=', ref.id).execute();
  if (!live.some(({ id }) => id === secretId)) throw new DomainError('NOT_FOUND', `no secret ${secretId} of ${ref.id}`);
  if (live.length === 1)
    throw new DomainError('CONFLICT', `${secretId} is the last one of ${ref.id}; make another first`);
  await sql`delete from webhook_secrets where id = ${secretId}`.execute(tx);
}
