import { fieldError } from './field-errors.ts';

/** Characters in the forms that other programs keep them in: docs/personas.md says what becomes of each field. */
export const personaFormats = ['eliza', 'card-v1', 'card-v2', 'card-v3'] as const;
export type PersonaFormat = (typeof personaFormats)[number];
/** What a persona can be given away as; `card-png` is a picture with the card in it. */
export const personaExports = ['eliza', 'card-v2', 'card-v3', 'card-png'] as const;
export type PersonaExport = (typeof personaExports)[number];

export type JsonObject = Record<string, unknown>;

export interface PersonaFile {
  format: PersonaFormat;
  /** As it came, save for what is never kept. */
  document: JsonObject;
}

/** A field without effect here. */
export interface LostPart {
  field: string;
  /** Given back by an export to the same format; else it was not stored. */
  kept: boolean;
  reason: string;
}

/** The same bounds as in fleet.yaml: a persona stands in every prompt of its agent. */
export const personaLimits = { nameChars: 60, personaChars: 2_000, traits: 12, traitChars: 60 } as const;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Texts of a field that may hold one or many; anything else, and what is blank, is left out. */
export function textsOf(value: unknown): string[] {
  const all = Array.isArray(value) ? value : [value];
  return all.filter((each): each is string => typeof each === 'string' && each.trim() !== '');
}

/**
 * A card's text as it is read here: names in the place of `{{char}}`, `<bot>` and `{{user}}`, comments left out, without
 * what Postgres cannot hold. Other macros stay as they are: they are words like all others.
 */
export function plainCardText(text: string, name: string): string {
  return text
    .replaceAll(/\{\{(?:\/\/|comment:)[^{}]*\}\}/giu, '')
    .replaceAll(/\{\{char\}\}|<(?:bot|char)>/giu, () => name)
    .replaceAll(/\{\{user\}\}|<user>/giu, 'the visitor')
    .replaceAll('\0', '')
    .toWellFormed()
    .replaceAll(/\r\n?/g, '\n')
    .trim();
}

/** As many whole paragraphs, and then sentences, as there is room for. */
export function fitted(text: string, most: number): string {
  if (text.length <= most) return text;
  const head = text.slice(0, most);
  const ends = [...head.matchAll(/\n+|[.!?…。！？]["'”’)]*(?=\s|$)/gu)].map((end) => end.index + end[0].length);
  const end = ends.at(-1) ?? head.lastIndexOf(' ');
  return head
    .slice(0, end > 0 ? end : most)
    .toWellFormed()
    .trim();
}

const secretWords = new Set([
  'secret',
  'secrets',
  'password',
  'passwd',
  'passphrase',
  'credential',
  'credentials',
  'mnemonic',
  'token',
  'cookie',
  'apikey',
  'privatekey',
]);
/** Deeper ones are made to hurt: whoever walks or writes them runs out of stack. */
const deepest = 64;
const keysOf = new Set(['api', 'private', 'access', 'secret', 'signing', 'encryption', 'session']);
const looksSecret =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:sk|ghp|gho|xox[abp]|AKIA)[-_]?[A-Za-z0-9][A-Za-z0-9_-]{19,}/;

/**
 * The document without what must not be stored: blocks of secrets, texts under names such as `OPENAI_API_KEY`, texts that
 * look like a key. Numbers and switches under such names stay: they are limits and counts.
 * @returns where each of them stood
 */
export function withoutSecrets(document: JsonObject): { document: JsonObject; removed: string[] } {
  const removed: string[] = [];
  const clean = (value: unknown, path: string, depth = 0): unknown => {
    if (depth > deepest) throw fieldError(path.slice(0, 80), `is nested deeper than ${deepest} blocks`, 'Flatten it.');
    if (Array.isArray(value)) {
      return value.flatMap((each, i) =>
        isSecretText(each) ? (removed.push(`${path}.${i}`), []) : [clean(each, `${path}.${i}`, depth + 1)],
      );
    }
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, each]): Array<[string, unknown]> => {
        const at = path === '' ? key : `${path}.${key}`;
        if (isEmpty(each) || !isSecret(key, each)) return [[key, clean(each, at, depth + 1)]];
        removed.push(at);
        return [];
      }),
    );
  };
  return { document: clean(document, '') as JsonObject, removed };
}

function isSecret(key: string, value: unknown): boolean {
  const words = key
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  const named = words.some((word, i) => secretWords.has(word) || (word === 'key' && keysOf.has(words[i - 1] ?? '')));
  return (named && (typeof value === 'string' || typeof value === 'object')) || isSecretText(value);
}

function isSecretText(value: unknown): boolean {
  return typeof value === 'string' && looksSecret.test(value);
}

function isEmpty(value: unknown): boolean {
  return value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);
}
