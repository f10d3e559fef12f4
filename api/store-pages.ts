import { listingSlug } from '../domain/listing-slugs.ts';
import type { LicenseKind } from '../domain/license-kinds.ts';
import { decimalText, type Money } from '../domain/money.ts';
import type { PublicListing } from '../stores/queries/listings.ts';
import { type Html, html, json } from './html.ts';
import { maskSvg, previewSize } from './mask-pictures.ts';
import { pageOf } from './pages.ts';

/** The store as pages that need neither scripts nor a sign-in. Pure: api/routes/store.ts serves them. */

const tagline = 'Agents with a past: their persona (character), what they remember and what they made of it.';
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
    title: words === undefined ? 'Store · Soulfra' : `“${words}” · Store · Soulfra`,
    head: preview({ title: 'Soulfra store', description: tagline, path: '/store', publicUrl }),
    main: html`<h1>Store</h1>
<p class="soft">${tagline}</p>
<form class="search" action="/store" method="get" role="search">
<label for="q">Search the store</label>
<input id="q" name="q" type="search" maxlength="100" placeholder="Name, title or words" value="${words ?? ''}">
<button>Search</button>
</form>
${listings.length === 0 ? nothing(words, after) : html`<ul class="cards">${listings.map((listing) => card(listing, locale))}</ul>`}
<nav class="pages" aria-label="Pages">
${after === undefined ? html`<span></span>` : html`<a href="${words === undefined ? '/store' : query({})}">To the first page</a>`}
${next !== undefined && html`<a rel="next" href="${query({ after: next })}">Older offers</a>`}
</nav>`,
  });
}

function nothing(words: string | undefined, after: string | undefined): Html {
  if (words !== undefined)
    return html`<p>Nothing on offer has “${words}” in it. <a href="/store">See all there is.</a></p>`;
  return after === undefined
    ? html`<p>Nothing is on offer yet. Whoever makes a loop (an agent, packed and signed) can list it here.</p>`
    : html`<p>There is no more.</p>`;
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
    title: `${title} · Soulfra`,
    head: html`${preview({ title, description, path, publicUrl, picture: `${path}/preview.png`, alt: `The mask (public face) of ${agentName}` })}
<meta property="product:price:amount" content="${decimalText(price)}">
<meta property="product:price:currency" content="${price.currency}">
<script type="application/ld+json">${json(asProduct(listing, absolute(publicUrl, path)))}</script>`,
    main: html`<p><a href="/store">← Store</a></p>
<div class="offer">
<div>
${maskSvg(listing.maskSeed)}
<h1>${title}</h1>
<p class="soft">${agentName} · ${counted(listing, locale)}</p>
${summary !== '' && html`<p class="said">${summary}</p>`}
<h2>What is in it</h2>
<dl>
<dt>Agent</dt><dd>${agentName}</dd>
<dt>Memories</dt><dd>${listing.memories.toLocaleString(locale)}, ${listing.reflections.toLocaleString(locale)} of them reflections (insights)</dd>
<dt>Models</dt><dd>${models.map(({ id, license }, i) => [i > 0 && ', ', id, ' (', license ?? 'license not known', ')'])}</dd>
<dt>Size</dt><dd>${kilobytes(listing.bytes, locale)}</dd>
<dt>Known by</dt><dd><code>${contentHash.slice(0, 16)}…</code> (SHA-256 of what it says, signed by its maker)</dd>
<dt>Changed</dt><dd><time datetime="${listing.changedAt}">${changed.toLocaleDateString(locale, { dateStyle: 'long', timeZone: 'UTC' })}</time></dd>
</dl>
</div>
<aside class="panel" aria-labelledby="offer">
<h2 id="offer">Buy a license</h2>
<p class="price">${priceText(price, locale)}</p>
${kinds.map(kindText)}
<p><a class="button wide" href="/market/${listing.id}">Buy</a></p>
<p class="soft">You sign in to buy. Terms of sale: version ${termsVersion}.</p>
</aside>
</div>`,
  });
}

/** Of an address that opens nothing: what was there may be sold no more. */
export function missingPage(): string {
  return pageOf({
    title: 'Not on offer · Soulfra',
    main: html`<h1>This is not on offer</h1><p>It was taken off, or the address is not whole. <a href="/store">See what there is.</a></p>`,
  });
}

function kindText({ id, summary, uses, activations, seats, termSeconds, transferable, commercial }: LicenseKind): Html {
  const lines = [
    uses !== null && `${uses} ${uses === 1 ? 'use' : 'uses'}`,
    activations !== null && activations > 0 && `in use on ${activations} ${activations === 1 ? 'machine' : 'machines'}`,
    seats !== null && `for ${seats} ${seats === 1 ? 'person' : 'people'}`,
    termSeconds === null ? 'for ever' : `for ${Math.round(termSeconds / daySeconds)} days`,
    transferable && 'may be passed on',
    commercial ? 'commercial use' : 'no commercial use',
  ];
  return html`<section><h3>${id.replaceAll('_', ' ')}</h3><p>${summary}</p><ul class="plain">${lines.map((line) => line !== false && html`<li>${line}</li>`)}</ul></section>`;
}

function counted({ memories, reflections }: PublicListing, locale: string): string {
  return `${memories.toLocaleString(locale)} ${memories === 1 ? 'memory' : 'memories'}, ${reflections.toLocaleString(locale)} ${reflections === 1 ? 'reflection' : 'reflections'}`;
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
<meta property="og:site_name" content="Soulfra">
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
