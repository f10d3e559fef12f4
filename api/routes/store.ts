import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { listingIdOf } from '../../domain/listing-slugs.ts';
import { findPublicListing, listPublicListings, type PublicListing } from '../../stores/queries/listings.ts';
import type { ApiContext } from '../context.ts';
import { maskPreview } from '../mask-pictures.ts';
import { sendPage } from '../pages.ts';
import { readerLocale } from '../reader-locale.ts';
import { listingPage, missingPage, storePage, storePath } from '../store-pages.ts';
import type { Api } from '../types.ts';

const pageSize = 24;
/** Seconds for which a page may be shown again without asking. */
const keptSeconds = 60;
const pictureSeconds = 86_400;
/** Pictures of the last ones asked for: a link that spreads is asked for by many programs at once. */
const mostPictures = 64;

/** The store, for everybody: HTML from the server, no script, no sign-in. */
export function storeRoutes(app: Api, { db, publicUrl }: ApiContext): void {
  const pictures = new Map<number, Buffer>();

  app.route({
    method: 'GET',
    url: '/store',
    config: { role: 'none' },
    schema: {
      hide: true,
      querystring: z.object({ q: z.string().max(100).optional(), after: z.string().max(200).optional() }),
    },
    handler: async (request, reply) => {
      const { q, after } = request.query;
      const words = q?.trim().replaceAll('\0', '').toWellFormed() || undefined;
      const from = after === undefined ? undefined : listingIdOf(after);
      const found = await listPublicListings(db, { words, after: from, limit: pageSize + 1 });
      const listings = found.slice(0, pageSize);
      const last = listings.at(-1);
      const next = found.length > pageSize && last ? storePath(last).slice('/l/'.length) : undefined;
      const locale = readerLocale(request.headers['accept-language']);
      return sendPage(reply, storePage({ listings, words, after: from, next, locale, publicUrl }), {
        maxAge: keptSeconds,
      });
    },
  });

  const slugParams = z.object({ slug: z.string().max(120) });

  app.route({
    method: 'GET',
    url: '/l/:slug',
    config: { role: 'none' },
    schema: { hide: true, params: slugParams },
    handler: async (request, reply) => {
      const listing = await onOffer(request.params.slug);
      if (listing === undefined) return notThere(reply);
      // Its title was another when the address was passed on.
      if (storePath(listing) !== `/l/${request.params.slug}`) return reply.redirect(storePath(listing), 301);
      const locale = readerLocale(request.headers['accept-language']);
      return sendPage(reply, listingPage(listing, { locale, publicUrl }), { maxAge: keptSeconds });
    },
  });

  app.route({
    method: 'GET',
    url: '/l/:slug/preview.png',
    config: { role: 'none' },
    schema: { hide: true, params: slugParams },
    handler: async (request, reply) => {
      const listing = await onOffer(request.params.slug);
      if (listing === undefined) return notThere(reply);
      return reply
        .header('cache-control', `public, max-age=${pictureSeconds}`)
        .type('image/png')
        .send(pictureOf(listing.maskSeed));
    },
  });

  async function onOffer(slug: string): Promise<PublicListing | undefined> {
    const id = listingIdOf(slug);
    return id === undefined ? undefined : findPublicListing(db, id);
  }

  function notThere(reply: FastifyReply): FastifyReply {
    return sendPage(reply.code(404), missingPage());
  }

  function pictureOf(seed: number): Buffer {
    const known = pictures.get(seed);
    if (known) return known;
    const made = maskPreview(seed);
    if (pictures.size >= mostPictures) pictures.delete(pictures.keys().next().value!);
    pictures.set(seed, made);
    return made;
  }
}
