import { DomainError } from '../../domain/errors.ts';
import { decodeUtf8, parseJsonText } from '../../domain/json-text.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { plainPng, readPng, writePng } from './png.ts';

/** V3 stands under `ccv3`, V2 under `chara`; where both do, V3 is the card and V2 its copy for older readers. */
const keywords = ['ccv3', 'chara'] as const;
export type CardKeyword = (typeof keywords)[number];

/** @throws MALFORMED_BODY, BODY_TOO_LARGE, INVALID_INPUT where there is no card in the picture */
export function readCardPng(file: Buffer, { cardLimit }: { cardLimit: number }): { json: unknown; picture: Buffer } {
  const { texts, picture } = readPng(file, keywords);
  const keyword = keywords.find((each) => texts.has(each));
  if (keyword === undefined) throw fieldError('', 'holds no character card', 'Send a PNG that was exported as a card.');
  const base64 = texts.get(keyword)!.replaceAll(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) throw new DomainError('MALFORMED_BODY', `${keyword} is not base64`);
  const card = Buffer.from(base64, 'base64');
  if (card.length > cardLimit) throw new DomainError('BODY_TOO_LARGE', `a card is ${cardLimit} bytes at most`);
  return { json: parseJsonText(decodeUtf8(card)), picture };
}

/** @param picture the card's own; without it one colour made of the seed */
export function writeCardPng(
  cards: ReadonlyArray<readonly [CardKeyword, unknown]>,
  { picture, seed }: { picture?: Buffer | undefined; seed: number },
): Buffer {
  const colour = [seed & 0xff, (seed >>> 8) & 0xff, (seed >>> 16) & 0xff] as const;
  return writePng(
    picture ?? plainPng(colour),
    cards.map(([keyword, card]) => [keyword, Buffer.from(JSON.stringify(card), 'utf8').toString('base64')]),
  );
}
