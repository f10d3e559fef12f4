import fc from 'fast-check';
import { expect, test } from 'vitest';
import { html, htmlText, json } from '../../api/html.ts';
import { maskPreview, maskSvg } from '../../api/mask-pictures.ts';
import { readerLocale } from '../../api/reader-locale.ts';
import { listingIdOf, listingSlug } from '../../domain/listing-slugs.ts';
import { readPng } from '../../integrations/importers/png.ts';
import { newId } from '../../stores/ids.ts';
import { hostileTexts } from '../support/markup.ts';

const markupOf = (page: ReturnType<typeof html>) => htmlText(page).slice('<!doctype html>\n'.length, -1);

test('no text that is put into a page ends its element or its attribute', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(...hostileTexts),
    fc.constantFrom('<', '>', '"', "'", '&', '\0'),
  );
  fc.assert(
    fc.property(text, (said) => {
      const [, attribute, inside] = /^<p title="([^"]*)">([^<]*)<\/p>$/u.exec(
        markupOf(html`<p title="${said}">${said}</p>`),
      )!;
      expect(attribute).toBe(inside);
      expect(inside).not.toMatch(/[<>"']/);
    }),
  );
});

test('what is made by html alone is put in as it is, and nothing that says it were', () => {
  expect(markupOf(html`<ul>${['a<', html`<li>${1}</li>`, false, null, [undefined, '&']]}</ul>`)).toBe(
    '<ul>a&lt;<li>1</li>&amp;</ul>',
  );
  const forged = JSON.parse('{"markup":"<script>","length":0}') as string;
  expect(() => markupOf(html`<p>${forged}</p>`)).toThrow();
});

test('data inside a script element never ends it', () => {
  for (const said of hostileTexts) {
    const text = markupOf(html`${json({ said })}`);
    expect(text).not.toContain('<');
    expect(JSON.parse(text)).toEqual({ said });
  }
});

test('the address of a listing has words for people, and its id alone counts', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 120 }), (title) => {
      const id = newId('listing');
      const slug = listingSlug({ id, title });
      expect(slug).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
      expect(listingIdOf(slug)).toBe(id);
    }),
  );
  const id = 'lst_01912345-6789-7abc-8def-0123456789ab';
  expect(listingSlug({ id, title: 'Été à la mer: <3' })).toMatch(/^ete-a-la-mer-3-[0-9a-z]{25}$/);
  for (const wrong of ['', 'x', 'z'.repeat(25), '0'.repeat(25), `${'z'.repeat(24)}-`, '../etc'])
    expect(listingIdOf(wrong)).toBeUndefined();
});

test('a mask is the same for the same seed, another for another, and a sound picture', () => {
  const seeds = Array.from({ length: 40 }, (_, i) => i * 7_919);
  expect(new Set(seeds.map((seed) => markupOf(maskSvg(seed)))).size).toBe(seeds.length);
  expect(markupOf(maskSvg(5))).toBe(markupOf(maskSvg(5)));
  const picture = maskPreview(5);
  expect(readPng(picture, []).picture.equals(picture)).toBe(true);
  expect([picture.readUInt32BE(16), picture.readUInt32BE(20)]).toEqual([600, 315]);
});

test('a page is in the first language that is known', () => {
  expect(readerLocale('de-CH,de;q=0.9')).toBe('de-CH');
  expect(readerLocale('xx-none-none, *;q=0.1, fr;q=0.5')).toBe('fr');
  for (const none of [undefined, '', '*', '--', '<script>', 'de-de-de']) expect(readerLocale(none)).toBe('en');
});
