import { Context } from '@temporalio/activity';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { feedDocument, feedFormats } from '../domain/feed-documents.ts';
import { dropPage, listingPage, listPage, startPage } from '../domain/mirror-pages.ts';
import {
  type MirrorTarget,
  type PublicDoc,
  type PublicKind,
  publicKinds,
  publicView,
  targetsOf,
} from '../domain/public-mirror.ts';
import { readPublicDocuments } from '../integrations/mirror/documents.ts';
import { type MirrorFigures, openMirrorFolder, verifyMirrorFolder } from '../integrations/mirror/folder.ts';
import { openMirrorDatabase } from '../stores/mirror-database.ts';
import type { MirrorRunStore } from '../stores/mirror-runs.ts';
import type { PublicReading } from '../stores/public-reading.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

/** Entries of a page, of JSON and of HTML. */
const page = 100;
/** Entries that a feed shows. */
const mostInFeed = 50;

export interface MirrorPlan {
  machine: string;
  targets: MirrorTarget[];
}

/** What the fleet says; on any machine. */
export function createMirrorPlanActivities({ fleet }: { fleet: FleetReader }) {
  return {
    /** @returns null where nothing is mirrored any more */
    async planMirror(): Promise<MirrorPlan | null> {
      const { mirror } = (await fleet()).fleet;
      return mirror === undefined ? null : { machine: mirror.machine, targets: targetsOf(mirror) };
    },
  };
}
export type MirrorPlanActivities = ReturnType<typeof createMirrorPlanActivities>;

interface MirrorDeps {
  fleet: FleetReader;
  reading: PublicReading;
  runs: MirrorRunStore;
  /** Of the target database; undefined: none is named to this worker. */
  mirrorUrl: string | undefined;
}

/** On the machine that has the folder, and the address of the database. */
export function createMirrorActivities({ fleet, reading, runs, mirrorUrl }: MirrorDeps) {
  async function* docsOf(kind: PublicKind, signal: AbortSignal): AsyncGenerator<PublicDoc[]> {
    if (kind === 'documents') {
      yield readPublicDocuments().map((row) => publicView(kind, row));
      return;
    }
    for (let after = ''; ; ) {
      signal.throwIfAborted();
      const rows = await reading[kind](after, page);
      yield rows.map((row) => publicView(kind, row));
      if (rows.length < page) return;
      after = rows.at(-1)!.id;
    }
  }

  async function toFolder(folder: string, period: string, name: string, signal: AbortSignal): Promise<MirrorFigures> {
    const target = openMirrorFolder(folder, period);
    const lists = {
      listings: pagesOf('listings', listingPage, target.put),
      drops: pagesOf('drops', dropPage, target.put),
    };
    const feeds: PublicDoc[] = [];
    const documents: string[] = [];
    const newest = new Map<string, PublicDoc[]>();
    for (const kind of publicKinds) {
      for await (const docs of docsOf(kind, signal)) {
        signal.throwIfAborted();
        if (kind === 'listings' || kind === 'drops') lists[kind].add(docs);
        else if (kind === 'feeds') feeds.push(...docs);
        else {
          for (const { id, ...doc } of docs) {
            documents.push(id);
            target.put(`documents/${id}`, String(doc['text']));
          }
        }
        if (kind === 'drops') keepNewest(newest, docs);
      }
    }
    const counts = { listings: lists.listings.end(), drops: lists.drops.end() };
    target.put('data/feeds.json', json(feeds));
    for (const feed of feeds) writeFeed(feed, newest.get(feed.id) ?? [], target.put);
    target.put('index.html', startPage({ name, ...counts, feeds, documents }));
    signal.throwIfAborted();
    const figures = target.finish(new Date().toISOString());
    const { wrong, sha256 } = await verifyMirrorFolder(folder);
    if (wrong.length > 0 || sha256 !== figures.sha256)
      throw new DomainError(
        'UNAVAILABLE',
        `read back, it is another one: ${wrong.slice(0, 5).join('; ') || 'the manifest'}`,
      );
    return figures;
  }

  async function toDatabase(period: string, signal: AbortSignal): Promise<MirrorFigures> {
    if (mirrorUrl === undefined)
      throw new DomainError(
        'CONFIG_INVALID',
        'mirror.postgres is true, and SOULFRA_MIRROR_URL of this machine’s worker is not set',
      );
    const target = await openMirrorDatabase(mirrorUrl, period);
    try {
      for (const kind of publicKinds) {
        for await (const docs of docsOf(kind, signal)) {
          signal.throwIfAborted();
          for (const doc of docs) await target.put(kind, doc);
        }
      }
      return await target.finish(new Date().toISOString());
    } finally {
      await target.end();
    }
  }

  return {
    /** Copies what is public now, deletes what is so no more, and reads all of it back. A second execution writes only what is missing. */
    async mirrorTo({ period, target }: { period: string; target: MirrorTarget }): Promise<MirrorFigures> {
      const { fleet: applied, ownerId } = await fleet();
      const ref = { period, target };
      await runs.begin(ref, ownerId);
      try {
        const signal = Context.current().cancellationSignal;
        const figures = await beating(async () => {
          if (target === 'postgres') return toDatabase(period, signal);
          const folder = applied.mirror?.folder;
          if (folder === undefined) throw new DomainError('CONFIG_INVALID', 'mirror.folder is named no more');
          return toFolder(folder, period, applied.name, signal);
        });
        await runs.done(ref, figures);
        return figures;
      } catch (err) {
        await runs.failed(ref, isDomainError(err) || err instanceof Error ? err.message : String(err));
        throw err;
      }
    },
  };
}
export type MirrorActivities = ReturnType<typeof createMirrorActivities>;

const json = (docs: readonly PublicDoc[]) => `${JSON.stringify(docs, null, 1)}\n`;
type Put = (path: string, content: string) => void;

/** A page is written once it is known whether another follows. */
function pagesOf(kind: 'listings' | 'drops', one: (doc: PublicDoc) => string, put: Put) {
  let number = 0;
  let count = 0;
  let held: readonly PublicDoc[] | undefined;
  const write = (docs: readonly PublicDoc[], next: boolean) => {
    number += 1;
    put(`${kind}/page-${number}.html`, listPage(kind, { number, docs, next }));
    put(`data/${kind}-${number}.json`, json(docs));
  };
  return {
    add(docs: readonly PublicDoc[]): void {
      for (const doc of docs) put(`${kind}/${doc.id}.html`, one(doc));
      count += docs.length;
      if (docs.length === 0) return;
      if (held) write(held, true);
      held = docs;
    },
    /** @returns how many there are */
    end(): number {
      write(held ?? [], false);
      return count;
    },
  };
}

function keepNewest(newest: Map<string, PublicDoc[]>, docs: readonly PublicDoc[]): void {
  for (const doc of docs) {
    const feed = String(doc['feedId']);
    const kept = [...(newest.get(feed) ?? []), doc].toSorted((a, b) => (published(a) < published(b) ? 1 : -1));
    newest.set(feed, kept.slice(0, mostInFeed));
  }
}
const published = (doc: PublicDoc) => String(doc['publishedAt']);
const uuidOf = (id: string) => id.slice(id.indexOf('_') + 1);

function writeFeed(feed: PublicDoc, drops: readonly PublicDoc[], put: Put): void {
  const field = (name: string) => String(feed[name] ?? '');
  const of = {
    uuid: uuidOf(feed.id),
    title: field('title'),
    description: field('description'),
    author: field('author'),
    siteUrl: field('siteUrl'),
    feedUrl: field('feedUrl') || undefined,
    updatedAt: drops[0] === undefined ? field('createdAt') : published(drops[0]),
  };
  const entries = drops.map((doc) => ({
    uuid: uuidOf(doc.id),
    title: String(doc['title']),
    text: String(doc['text']),
    author: String(doc['author']),
    publishedAt: published(doc),
  }));
  for (const format of feedFormats) put(`feeds/${feed.id}.${format}`, feedDocument(format, of, entries));
}
