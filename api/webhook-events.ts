import { DomainError, type FieldError } from '../domain/errors.ts';
import { invalidInput } from '../domain/field-errors.ts';
import { atPointer, nestsOver } from '../domain/json-pointer.ts';
import { decodeUtf8, parseJsonText } from '../domain/json-text.ts';
import { mostEventText, mostEventTitle, sourceEventSchema } from '../domain/source-events.ts';
import { cutText } from '../domain/source-text.ts';
import type { SourceItem, WebhookSource } from '../domain/sources.ts';

/** No sender nests deeper by itself. */
const mostDepth = 32;

/**
 * What an event says, by the documented shape, or by the pointers of its source into any other.
 * @throws MALFORMED_BODY, INVALID_INPUT
 */
export function eventItem(bytes: Uint8Array, webhookId: string, source: WebhookSource): SourceItem {
  const text = decodeUtf8(bytes);
  if (nestsOver(text, mostDepth)) throw new DomainError('MALFORMED_BODY', `the body nests deeper than ${mostDepth}`);
  const json = parseJsonText(text);
  const said = source.pointers === undefined ? json : pointedAt(json, source.pointers);
  const parsed = sourceEventSchema.safeParse(said);
  if (!parsed.success) throw invalidInput(parsed.error, said, sourceEventSchema);
  const { title = '', url = null, occurredAt = null, importance } = parsed.data;
  return {
    key: webhookId,
    title,
    text: parsed.data.text,
    url,
    publishedAt: occurredAt,
    changedAt: null,
    ...(importance === undefined ? {} : { importance }),
  };
}

function pointedAt(json: unknown, pointers: NonNullable<WebhookSource['pointers']>): Record<string, unknown> {
  const said: Record<string, unknown> = {};
  const errors: FieldError[] = [];
  for (const [name, pointer] of Object.entries(pointers)) {
    if (pointer === undefined) continue;
    const value = atPointer(json, pointer);
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      // Another's shape keeps no limits of ours.
      said[name] = cutText(String(value), name === 'title' ? mostEventTitle : mostEventText);
    } else if (name === 'text') {
      errors.push({
        path: pointer.slice(1).replaceAll('/', '.'),
        rule: 'must hold a text, number or boolean',
        mend: `It is where pointers.${name} of the source points to.`,
      });
    }
  }
  const [first] = errors;
  if (first) throw new DomainError('INVALID_INPUT', `${first.path} ${first.rule}`, { fields: errors });
  return said;
}
