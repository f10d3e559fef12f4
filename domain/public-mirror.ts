import { z } from 'zod';
import { durationSchema } from './durations.ts';
import { DomainError } from './errors.ts';
import { slugSchema } from './ids.ts';

/** `mirror` of fleet.yaml: what is public is copied to a place of its own (docs/public-mirror.md). */
export const mirrorSettingsSchema = z
  .strictObject({
    /** Whose worker writes it: the folder is of its host, the address of the database is in its environment. */
    machine: slugSchema,
    every: durationSchema.default('1h'),
    /** A folder for JSON and plain HTML; it has to be there. */
    folder: z.string().max(4096).regex(/^\//, 'must be an absolute path').optional(),
    /** Into the database that SOULFRA_MIRROR_URL of that worker names. */
    postgres: z.boolean().default(false),
  })
  .refine(({ folder, postgres }) => folder !== undefined || postgres, {
    path: ['folder'],
    error: 'must be given, or postgres be true',
  });
export type MirrorSettings = z.infer<typeof mirrorSettingsSchema>;

export const mirrorTargets = ['folder', 'postgres'] as const;
export type MirrorTarget = (typeof mirrorTargets)[number];
export function targetsOf({ folder, postgres }: Pick<MirrorSettings, 'folder' | 'postgres'>): MirrorTarget[] {
  return [...(folder === undefined ? [] : ['folder' as const]), ...(postgres ? ['postgres' as const] : [])];
}

/**
 * All that ever leaves, by kind and field. What a reader brings beside these is dropped, whatever it is: a column that is added
 * to a table is private until its name stands here.
 */
export const publicFields = {
  /** On offer, and not taken down. */
  listings: [
    'id',
    'title',
    'summary',
    'amount',
    'currency',
    'kinds',
    'termsVersion',
    'agentName',
    'memories',
    'reflections',
    'models',
    'contentHash',
    'createdAt',
    'changedAt',
  ],
  /** What was published on a channel of kind feed, which everybody may read anyway. */
  drops: ['id', 'feedId', 'title', 'text', 'author', 'publishedAt'],
  feeds: ['id', 'title', 'description', 'author', 'siteUrl', 'feedUrl', 'createdAt'],
  /** The description of the API, and pages of the manual. */
  documents: ['id', 'text'],
} as const;
export type PublicKind = keyof typeof publicFields;
export const publicKinds = Object.keys(publicFields) as PublicKind[];

/** Of docs/: those that speak of what everybody may use. */
export const publicDocuments = [
  'openapi.json',
  'channels.md',
  'drops.md',
  'errors.md',
  'glossary.md',
  'licenses.md',
  'loops.md',
  'marketplace.md',
  'public-mirror.md',
] as const;

type PublicValue = string | number | readonly string[] | null;
declare const checked: unique symbol;
/** Made by `publicView` alone, so that nothing else can be given to who writes a mirror. */
export type PublicDoc = { readonly [checked]: true; readonly id: string } & Readonly<Record<string, PublicValue>>;

function isPublic(value: unknown): value is PublicValue {
  if (value === null || typeof value === 'string') return true;
  if (typeof value === 'number') return Number.isSafeInteger(value);
  return Array.isArray(value) && value.every((part) => typeof part === 'string');
}

/** @throws INTERNAL where a field is missing, or holds more than text and whole numbers: what lies deeper was judged by nobody */
export function publicView(kind: PublicKind, row: Readonly<Record<string, unknown>>): PublicDoc {
  const view: Record<string, PublicValue> = {};
  for (const field of publicFields[kind]) {
    const value = row[field];
    if (!isPublic(value)) throw new DomainError('INTERNAL', `${field} of ${kind} is nothing that may leave`);
    view[field] = value;
  }
  return view as PublicDoc;
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
export const mirrorManifestSchema = z.object({
  format: z.literal(1),
  madeAt: z.iso.datetime(),
  /** Of every file but this one, in the order of their paths. */
  files: z.array(z.object({ path: z.string(), bytes: z.int().min(0), sha256 })),
});
export type MirrorManifest = z.infer<typeof mirrorManifestSchema>;
export const mirrorManifestName = 'manifest.json';
/** Says that a folder is a mirror's, also before its first manifest. */
export const mirrorMarkName = '.soulfra-mirror';
/** Below these everything is the mirror's own: what its manifest does not name is deleted. */
export const mirrorFolders = ['data', 'documents', 'drops', 'feeds', 'listings'] as const;

/** A path of a mirror: none leads out of it, whatever a manifest says. */
export function isMirrorPath(path: string): boolean {
  return (
    path === 'index.html' ||
    (/^[a-zA-Z0-9_-]+(\/[a-zA-Z0-9_-]+)*\/[a-zA-Z0-9_.-]+$/.test(path) &&
      !path.includes('..') &&
      (mirrorFolders as readonly string[]).includes(path.split('/')[0]!))
  );
}
