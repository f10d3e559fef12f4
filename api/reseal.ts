import { DomainError } from '../domain/errors.ts';
import { channelSecretsAbout, channelSessionAbout } from '../integrations/channels/posting.ts';
import type { SecretBox } from '../integrations/secret-box.ts';
import { signingKeyAbout } from '../integrations/signing.ts';
import { webhookSecretAbout } from '../integrations/webhook-sender.ts';
import type { DatabaseTransaction } from '../stores/database.ts';
import { replaceSealed, type SealedColumn, sealedRows } from '../stores/sealed-rows.ts';
import { secretAbout } from './routes/source-secrets.ts';

interface Boxes {
  secretBox: SecretBox | undefined;
  webhookBox: SecretBox | undefined;
}

/** All that is sealed, and by which key. A test holds the list against the schema. */
export const sealedColumns: ReadonlyArray<SealedColumn & { box: keyof Boxes; about: (id: string) => string }> = [
  { table: 'signing_keys', column: 'sealed', box: 'secretBox', about: signingKeyAbout },
  { table: 'source_secrets', column: 'sealed', box: 'secretBox', about: secretAbout },
  { table: 'webhook_secrets', column: 'sealed', box: 'webhookBox', about: webhookSecretAbout },
  { table: 'channels', column: 'sealed', box: 'webhookBox', about: channelSecretsAbout },
  { table: 'channels', column: 'session', box: 'webhookBox', about: channelSessionAbout },
];

/** A transaction's worth: none may take ten seconds. */
const batchRows = 200;

interface ResealedBatch {
  resealed: number;
  /** Under none of the keys: as unreadable as they were before. */
  unreadable: string[];
  /** Where the next batch begins; null: that was all. */
  next: string | null;
}

/**
 * Seals one batch anew under the keys of now. What is under them already is left, so a pass that was cut off is begun again from the
 * first row, and many at once do no harm.
 * @param from as the batch before gave it; undefined: from the first
 * @throws CONFLICT where no other key stands beside one of now
 */
export async function resealBatch(
  tx: DatabaseTransaction,
  boxes: Boxes,
  { from, limit = batchRows }: { from?: string | undefined; limit?: number },
): Promise<ResealedBatch> {
  if (!boxes.secretBox?.hasOld && !boxes.webhookBox?.hasOld)
    throw new DomainError(
      'CONFLICT',
      'neither SOULFRA_SECRET_KEY nor SOULFRA_WEBHOOK_KEY has a key behind its first, and none stands in …_OLD: all is sealed under the keys of now',
    );
  const { index, after } = placeOf(from);
  const column = sealedColumns[index]!;
  const following = index + 1 < sealedColumns.length ? `${index + 1}:` : null;
  const box = boxes[column.box];
  if (!box?.hasOld) return { resealed: 0, unreadable: [], next: following };
  const rows = await sealedRows(tx, column, { after, limit });
  const unreadable: string[] = [];
  const anew = rows.flatMap(({ id, sealed: before }) => {
    try {
      const sealed = box.reseal(before, column.about(id));
      return sealed === undefined ? [] : [{ id, before, sealed }];
    } catch {
      // Told by name: what it was cannot be known, and the row stays as it is.
      unreadable.push(`${column.table}.${column.column} ${id}`);
      return [];
    }
  });
  const resealed = await replaceSealed(tx, column, anew);
  return { resealed, unreadable, next: rows.length < limit ? following : `${index}:${rows.at(-1)!.id}` };
}

/** @throws INVALID_INPUT */
function placeOf(from: string | undefined): { index: number; after: string } {
  const [, index = '0', after = ''] = /^(\d):(.*)$/.exec(from ?? '0:') ?? [];
  if (from !== undefined && (!/^\d:/.test(from) || sealedColumns[Number(index)] === undefined))
    throw new DomainError('INVALID_INPUT', 'from is no place that an answer named');
  return { index: Number(index), after };
}
