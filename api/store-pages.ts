import { listingSlug } from '../domain/listing-slugs.ts';
import type { LicenseKind } from '../domain/license-kinds.ts';
import { decimalText, type Money } from '../domain/money.ts';
import type { PublicListing } from '../stores/queries/listings.ts';
import { type Html, html, json } from './html.ts';
import { maskSvg, previewSize } from './mask-pictures.ts';
import { pageText } from './page-text.ts';
import { pageOf } from './pages.ts';

/** The store as pages that need neither scripts nor a sign-in. Pure: api/routes/store.ts serves them. */

const storeWords = pageText.store;
const offerWords = pageText.listing;
const mostDescriptionChars = 200;
const daySeconds = 86_400;

export function storePath({ id, title }: { id: string; title: string }): string {
  return `/l/${listingSlug({ id, title })}`;
}

export interface StorePageParts {
  listings: readonly PublicListing[];
  words: string | undefined;
  /** Of the page before was the last this one; undefined: this is the first page. */
  after: string | undefined;
  /** Where the next page begins. */
  next: string | undefined;
  locale: string;
  publicUrl: string | undefined;
}

export function storePage({ listings, words, after, next, locale, publicUrl }: StorePageParts): string {
  const query = (more: Record<string, string>) =>
    `/store?${new URLSearchParams({ ...(words === undefined ? {} : { q: words }), ...more }).toString()}`;
  return pageOf({
    title: words === undefined ? storeWords.title : storeWords.titleOf(words),
    head: preview({ title: storeWords.preview, description: storeWords.tagline, path: '/store', publicUrl }),
    main: html`<h1>${storeWords.heading}</h1>
<p class="soft">${storeWords.tagline}</p>
<form class="search" action="/store" method="get" role="search">
<label for="q">${storeWords.label}</label>
<input id="q" name="q" type="search" maxlength="100" placeholder="${storeWords.example}" value="${words ?? ''}">
<button>${storeWords.search}</button>
</form>
${listings.length === 0 ? nothing(words, after) : html`<ul class="cards">${listings.map((listing) => card(listing, locale))}</ul>`}
<nav class="pages" aria-label="${storeWords.pages}">
${after === undefined ? html`<span></span>` : html`<a href="${words === undefined ? '/store' : query({})}">${storeWords.first}</a>`}
${next !== undefined && html`<a rel="next" href="${query({ after: next })}">${storeWords.older}</a>`}
</nav>`,
  });
}

function nothing(words: string | undefined, after: string | undefined): Html {
  if (words !== undefined) return html`<p>${storeWords.noMatch(words)} <a href="/store">${storeWords.all}</a></p>`;
  return after === undefined ? html`<p>${storeWords.none}</p>` : html`<p>${storeWords.noMore}</p>`;
}

function card(listing: PublicListing, locale: string): Html {
  return html`<li class="card">
${maskSvg(listing.maskSeed)}
<h2><a href="${storePath(listing)}">${listing.title}</a></h2>
<p class="soft">${listing.agentName} · ${counted(listing, locale)}</p>
${listing.summary !== '' && html`<p class="said">${listing.summary}</p>`}
<p class="price">${priceText(listing.price, locale)}</p>
</li>`;
}

export function listingPage(
  listing: PublicListing,
  { locale, publicUrl }: { locale: string; publicUrl: string | undefined },
): string {
  const { title, summary, agentName, price, kinds, models, contentHash, termsVersion } = listing;
  const path = storePath(listing);
  const description = summary === '' ? `${agentName}: ${counted(listing, locale)}` : summary;
  const changed = new Date(listing.changedAt);
  return pageOf({
    title: offerWords.title(title),
    head: html`${preview({ title, description, path, publicUrl, picture: `${path}/preview.png`, alt: offerWords.mask(agentName) })}
<meta property="product:price:amount" content="${decimalText(price)}">
<meta property="product:price:currency" content="${price.currency}">
<script type="application/ld+json">${json(asProduct(listing, absolute(publicUrl, path)))}</script>`,
    main: html`<p><a href="/store">${offerWords.back}</a></p>
<div class="offer">
<div>
${maskSvg(listing.maskSeed)}
<h1>${title}</h1>
<p class="soft">${agentName} · ${counted(listing, locale)}</p>
${summary !== '' && html`<p class="said">${summary}</p>`}
<h2>${offerWords.inside}</h2>
<dl>
<dt>${offerWords.agent}</dt><dd>${agentName}</dd>
<dt>${offerWords.memories}</dt><dd>${offerWords.ofThem(listing.memories.toLocaleString(locale), listing.reflections.toLocaleString(locale))}</dd>
<dt>${offerWords.models}</dt><dd>${models.map(({ id, license }, i) => [i > 0 && ', ', id, ' (', license ?? offerWords.noLicense, ')'])}</dd>
<dt>${offerWords.size}</dt><dd>${kilobytes(listing.bytes, locale)}</dd>
<dt>${offerWords.knownBy}</dt><dd><code>${contentHash.slice(0, 16)}…</code> ${offerWords.hash}</dd>
<dt>${offerWords.changed}</dt><dd><time datetime="${listing.changedAt}">${changed.toLocaleDateString(locale, { dateStyle: 'long', timeZone: 'UTC' })}</time></dd>
</dl>
</div>
<aside class="panel" aria-labelledby="offer">
<h2 id="offer">${offerWords.buyTitle}</h2>
<p class="price">${priceText(price, locale)}</p>
${kinds.map(kindText)}
<p><a class="button wide" href="/market/${listing.id}">${offerWords.buy}</a></p>
<p class="soft">${offerWords.terms(termsVersion)}</p>
</aside>
</div>`,
  });
}

/** Of an address that opens nothing: what was there may be sold no more. */
export function missingPage(): string {
  return pageOf({
    title: offerWords.missingTitle,
    main: html`<h1>${offerWords.missing}</h1><p>${offerWords.missingText} <a href="/store">${offerWords.seeAll}</a></p>`,
  });
}

function kindText({ id, summary, uses, activations, seats, termSeconds, transferable, commercial }: LicenseKind): Html {
  const lines = [
    uses !== null && offerWords.uses(uses),
    activations !== null && activations > 0 && offerWords.machines(activations),
    seats !== null && offerWords.people(seats),
    termSeconds === null ? offerWords.forever : offerWords.days(Math.round(termSeconds / daySeconds)),
    transferable && offerWords.transferable,
    commercial ? offerWords.commercial : offerWords.notCommercial,
  ];
  return html`<section><h3>${id.replaceAll('_', ' ')}</h3><p>${summary}</p><ul class="plain">${lines.map((line) => line !== false && html`<li>${line}</li>`)}</ul></section>`;
}

function counted({ memories, reflections }: PublicListing, locale: string): string {
  return `${storeWords.memories(memories.toLocaleString(locale), memories)}, ${storeWords.reflections(reflections.toLocaleString(locale), reflections)}`;
}

/** Exactly: the text of the amount is never a float. */
function priceText(price: Money, locale: string): string {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency: price.currency });
  return format.format(decimalText(price) as `${number}`);
}

function kilobytes(bytes: number, locale: string): string {
  return new Intl.NumberFormat(locale, { style: 'unit', unit: 'kilobyte', maximumFractionDigits: 0 }).format(
    Math.max(1, bytes / 1000),
  );
}

function absolute(publicUrl: string | undefined, path: string): string {
  return publicUrl === undefined ? path : `${publicUrl}${path}`;
}

interface Preview {
  title: string;
  description: string;
  path: string;
  publicUrl: string | undefined;
  picture?: string;
  alt?: string;
}

function preview({ title, description, path, publicUrl, picture, alt }: Preview): Html {
  const line = description.replaceAll(/\s+/g, ' ').trim();
  const short =
    line.length > mostDescriptionChars ? `${line.slice(0, mostDescriptionChars - 1).toWellFormed()}…` : line;
  return html`<meta name="description" content="${short}">
<link rel="canonical" href="${absolute(publicUrl, path)}">
<meta property="og:type" content="website">
<meta property="og:site_name" content="${pageText.app}">
<meta property="og:title" content="${title}">
<meta property="og:description" content="${short}">
<meta property="og:url" content="${absolute(publicUrl, path)}">
${
  picture !== undefined &&
  html`<meta property="og:image" content="${absolute(publicUrl, picture)}">
<meta property="og:image:type" content="image/png">
<meta property="og:image:width" content="${previewSize.width}">
<meta property="og:image:height" content="${previewSize.height}">
<meta property="og:image:alt" content="${alt ?? ''}">
<meta name="twitter:card" content="summary_large_image">`
}`;
}

/** https://schema.org/Product */
function asProduct({ title, summary, price, contentHash }: PublicListing, url: string) {
  return {
    '@context': 'https://schema.org',
    '@type': 'Product',
    name: title,
    ...(summary === '' ? {} : { description: summary }),
    sku: contentHash,
    offers: {
      '@type': 'Offer',
      url,
      price: decimalText(price),
      priceCurrency: price.currency,
      availability: 'https://schema.org/InStock',
    },
  };
}
