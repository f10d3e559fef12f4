import { createHash } from 'node:crypto';
import { basename, extname } from 'node:path';
import { TextDecoder } from 'node:util';
import { z } from 'zod';
import { sourceEventSchema } from '../../domain/source-events.ts';
import type { SourceItem } from '../../domain/sources.ts';

/** Of a text file; no setting keeps more than 8,000. */
const mostText = 20_000;
/** A line of an .ndjson file: an event, with an id of its own where it has one. */
const lineSchema = sourceEventSchema.extend({ id: z.string().min(1).max(200).optional() });

export interface FileItems {
  items: SourceItem[];
  /** What could not be read, for a person; empty: nothing. */
  problem: string;
}

/** What a file says: a text one thing, an .ndjson file one a line. Pure; the bytes are whole. */
export function fileItems(name: string, bytes: Uint8Array, changedAt: string): FileItems {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (err) {
    if (err instanceof TypeError) return { items: [], problem: 'is not UTF-8' };
    throw err;
  }
  if (/\.ndjson$/i.test(name)) return lineItems(name, text, changedAt);
  const title = basename(name, extname(name));
  const item = { key: name, title, text: text.slice(0, mostText), url: null, publishedAt: changedAt, changedAt };
  return text.trim() === '' ? { items: [], problem: 'is empty' } : { items: [item], problem: '' };
}

function lineItems(name: string, text: string, changedAt: string): FileItems {
  const items: SourceItem[] = [];
  const bad: number[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const parsed = lineSchema.safeParse(parsedLine(line));
    if (!parsed.success) {
      bad.push(i + 1);
      return;
    }
    const { id, title = '', url = null, occurredAt = changedAt, importance } = parsed.data;
    items.push({
      // A line without an id is known by what it says, so that lines may be added anywhere.
      key: `${name}#${id ?? createHash('sha256').update(line.trim()).digest('hex')}`,
      title,
      text: parsed.data.text,
      url,
      publishedAt: occurredAt,
      changedAt,
      ...(importance === undefined ? {} : { importance }),
    });
  });
  const problem = bad.length === 0 ? '' : `has ${bad.length} lines that cannot be read, the first is line ${bad[0]}`;
  return { items, problem };
}

function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (err) {
    if (err instanceof SyntaxError) return undefined;
    throw err;
  }
}
