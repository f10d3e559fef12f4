import { parseFeed } from 'feedsmith';
import { DomainError } from '../../domain/errors.ts';
import { plainText } from './plain-text.ts';
import type { SourceItem } from './source-reader.ts';

/** Entries of one document that are looked at. */
const mostItems = 1_000;
const mostUrl = 2_000;
/** Characters of an item's text that are looked at; no setting keeps more than 8,000. */
const mostText = 20_000;

/** What each format calls the parts of an entry. */
interface Entry {
  id: string | undefined;
  title: string;
  text: string;
  link: string | undefined;
  published: string | undefined;
  changed: string | undefined;
}

/**
 * The entries of an RSS (0.9x, 1.0, 2.0), Atom or JSON feed, oldest first, as plain text; what holds no words is left out.
 * Nothing outside the document is looked up, and a document that declares entities of its own is refused.
 * @param base what relative links are relative to
 * @throws REMOTE_FAILED where it is no feed
 */
export function feedItems(document: string, base: string): SourceItem[] {
  if (declaresEntities(document)) {
    throw new DomainError('REMOTE_FAILED', 'the feed declares entities of its own, which are not read');
  }
  const entries = entriesOf(document).slice(0, mostItems);
  const items = entries.flatMap((entry): SourceItem[] => {
    const title = entry.title.slice(0, mostText);
    const text = entry.text.slice(0, mostText);
    if (title === '' && text === '') return [];
    const url = webAddress(entry.link, base);
    return [
      {
        // Without an id of its own it is known by its link; without that by its words.
        key: entry.id ?? url ?? `${title}\n${text}`,
        title,
        text,
        url,
        publishedAt: time(entry.published) ?? time(entry.changed),
        changedAt: time(entry.changed),
      },
    ];
  });
  // Feeds have the newest first; where all are dated the dates say it.
  items.reverse();
  if (!items.every((item) => item.publishedAt !== null)) return items;
  return items.sort((a, b) => Date.parse(a.publishedAt!) - Date.parse(b.publishedAt!));
}

function entriesOf(document: string): Entry[] {
  const parsed = parsedFeed(document);
  switch (parsed.format) {
    case 'rss':
      return (parsed.feed.items ?? []).map((item) => ({
        id: filled(item.guid?.value),
        title: plainText(item.title ?? ''),
        text: plainText(item.content?.encoded ?? item.description ?? ''),
        link: filled(item.link) ?? (item.guid?.isPermaLink === false ? undefined : filled(item.guid?.value)),
        published: item.pubDate ?? item.dc?.dates?.[0],
        changed: undefined,
      }));
    case 'rdf':
      return (parsed.feed.items ?? []).map((item) => ({
        id: filled(item.rdf?.about),
        title: plainText(item.title ?? ''),
        text: plainText(item.content?.encoded ?? item.description ?? ''),
        link: filled(item.link),
        published: item.dc?.dates?.[0],
        changed: undefined,
      }));
    case 'atom':
      return (parsed.feed.entries ?? []).map((entry) => ({
        id: filled(entry.id),
        title: atomText(entry.title),
        text: atomText(entry.content) || atomText(entry.summary),
        link: filled(
          (entry.links?.find(({ rel }) => rel === undefined || rel === 'alternate') ?? entry.links?.[0])?.href,
        ),
        published: entry.published,
        changed: entry.updated,
      }));
    case 'json':
      return (parsed.feed.items ?? []).map((item) => ({
        id: filled(item.id),
        title: item.title ?? '',
        text: item.content_text ?? plainText(item.content_html ?? item.summary ?? ''),
        link: filled(item.url) ?? filled(item.external_url),
        published: item.date_published,
        changed: item.date_modified,
      }));
  }
}

function parsedFeed(document: string) {
  try {
    return parseFeed(document);
  } catch (cause) {
    throw new DomainError('REMOTE_FAILED', 'the answer is no RSS, Atom or JSON feed', { cause });
  }
}

/** Atom says of each text whether it is markup; without saying so it is not. */
function atomText(text: { value?: string; type?: string } | undefined): string {
  const value = text?.value ?? '';
  return /html/i.test(text?.type ?? '') ? plainText(value) : value.trim();
}

function filled(text: string | undefined): string | undefined {
  const trimmed = text?.trim();
  return trimmed === '' ? undefined : trimmed;
}

function webAddress(link: string | undefined, base: string): string | null {
  const url = link === undefined ? null : URL.parse(link, base);
  if (url === null || !/^https?:$/.test(url.protocol) || url.href.length > mostUrl) return null;
  url.username = '';
  url.password = '';
  return url.href;
}

function time(text: string | undefined): string | null {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? null : new Date(at).toISOString();
}

/** Whether the document type, which stands before the first element, has a part of its own: there entities are declared. */
function declaresEntities(document: string): boolean {
  let at = 0;
  for (;;) {
    while (/[\s\ufeff]/.test(document[at] ?? '')) at += 1;
    const end = document.startsWith('<?', at) ? '?>' : document.startsWith('<!--', at) ? '-->' : undefined;
    if (end === undefined) break;
    const found = document.indexOf(end, at);
    if (found < 0) return false;
    at = found + end.length;
  }
  if (!/^<!doctype/i.test(document.slice(at, at + 9))) return false;
  const bracket = document.indexOf('[', at);
  const close = document.indexOf('>', at);
  return bracket >= 0 && (close < 0 || bracket < close);
}
