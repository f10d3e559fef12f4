import { fieldError } from '../../domain/field-errors.ts';
import {
  isObject,
  type JsonObject,
  type LostPart,
  type PersonaFormat,
  personaLimits,
  textsOf,
} from '../../domain/persona-files.ts';
import type { PersonaImporter } from './persona-importer.ts';

const specs: Record<string, PersonaFormat> = { chara_card_v2: 'card-v2', chara_card_v3: 'card-v3' };
const order = 'an instruction: no card gives orders to a model here';
const greeting = 'a greeting; it becomes a memory where that is asked for';
const about = 'speaks of the card, not of the character';
const reasons: Record<string, string> = {
  system_prompt: order,
  post_history_instructions: order,
  first_mes: greeting,
  alternate_greetings: greeting,
  group_only_greetings: greeting,
  mes_example: 'examples; they become memories where that is asked for',
  character_book: 'facts; entries that are switched on become memories where that is asked for',
  creator: about,
  creator_notes: about,
  creator_notes_multilingual: about,
  character_version: about,
  creation_date: about,
  modification_date: about,
  source: about,
  tags: about,
  extensions: 'belongs to other programs',
  assets: 'no pictures are shown here',
};
const taken = new Set(['name', 'nickname', 'description', 'personality', 'scenario']);
/** The only picture that a card can name and that comes with it. */
const ownAsset = 'ccdefault:';

/** Character cards V1 (flat), V2 and V3. */
export const cardImporter: PersonaImporter = {
  reads: (document) =>
    'spec' in document ||
    (!('bio' in document) &&
      typeof document['name'] === 'string' &&
      ['description', 'personality', 'first_mes', 'mes_example'].some((key) => typeof document[key] === 'string')),

  read(document) {
    const format = formatOf(document);
    const data = format === 'card-v1' ? document : (document['data'] as JsonObject);
    const { data: kept, lost } = withoutForeignAssets(data);
    const nickname = textsOf(data['nickname'])[0];
    const personality = textsOf(data['personality'])[0] ?? '';
    const traits = ownTraits(data['extensions'], personality) ?? traitsOf(personality);
    return {
      format,
      document: format === 'card-v1' ? kept : { ...document, data: kept },
      name: data['name'],
      ...(nickname === undefined ? {} : { calledBy: nickname }),
      paragraphs: [
        textsOf(data['description'])[0] ?? '',
        traits.length > 0 ? '' : personality,
        textsOf(data['scenario'])[0] ?? '',
      ],
      traits,
      lost: [...lost, ...lostOf(document, data, format)],
      seeds: [
        ...bookOf(data['character_book']).map((text) => ({ text, kind: 'observation' as const })),
        ...[...greetingsOf(data), ...examplesOf(data['mes_example'])].map((text) => ({
          text,
          kind: 'conversation' as const,
        })),
      ],
    };
  },
};

function formatOf(document: JsonObject): PersonaFormat {
  const { spec, data } = document;
  if (spec === undefined) return 'card-v1';
  const format = typeof spec === 'string' && Object.hasOwn(specs, spec) ? specs[spec] : undefined;
  if (format === undefined)
    throw fieldError('spec', `must be one of ${Object.keys(specs).join(', ')}`, 'Export the card as V2 or V3.');
  if (!isObject(data)) throw fieldError('data', 'must be a block of keys', 'The fields of a card stand in it.');
  return format;
}

/** What a card of ours says of them, as long as nobody has changed the personality since. */
function ownTraits(extensions: unknown, personality: string): string[] | undefined {
  const own = isObject(extensions) && isObject(extensions['soulfra']) ? extensions['soulfra']['traits'] : undefined;
  if (!Array.isArray(own) || own.join(', ') !== personality) return undefined;
  return own.filter((trait): trait is string => typeof trait === 'string');
}

/** A list of words is a list of traits; a text is part of who it is. */
function traitsOf(personality: string): string[] {
  const words = personality
    .split(/[,;\n]/)
    .map((word) => word.trim().replace(/\.$/, ''))
    .filter((word) => word !== '');
  const isList = words.length > 1 || !/\s/.test(words[0] ?? '');
  return isList && words.every(({ length }) => length <= personaLimits.traitChars) && !/[.!?:]\s/.test(personality)
    ? words
    : [];
}

/** Files inside a card, and addresses that whoever shows it would have to call, are not kept. */
function withoutForeignAssets(data: JsonObject): { data: JsonObject; lost: LostPart[] } {
  const assets = data['assets'];
  if (!Array.isArray(assets)) return { data, lost: [] };
  const own = assets.filter((asset) => isObject(asset) && asset['uri'] === ownAsset);
  const lost = assets.flatMap((asset, i): LostPart[] => {
    if (own.includes(asset)) return [];
    const uri = isObject(asset) ? asset['uri'] : undefined;
    const reason =
      typeof uri === 'string' && /^https?:/i.test(uri)
        ? 'an address elsewhere: nothing is fetched for a card'
        : 'a file: only texts are kept';
    return [{ field: `assets.${i}`, kept: false, reason }];
  });
  return { data: { ...data, assets: own }, lost };
}

function lostOf(document: JsonObject, data: JsonObject, format: PersonaFormat): LostPart[] {
  const fields = Object.keys(data).filter((field) => !taken.has(field) && !isNothing(data[field]));
  const around =
    format === 'card-v1'
      ? []
      : Object.keys(document).filter((field) => !['spec', 'spec_version', 'data'].includes(field));
  return [
    ...fields.map((field) => ({ field, kept: true, reason: reasons[field] ?? 'not known here' })),
    ...around.map((field) => ({ field, kept: true, reason: 'stands beside the card' })),
  ];
}

function isNothing(value: unknown): boolean {
  return value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);
}

function bookOf(book: unknown): string[] {
  const entries = isObject(book) && Array.isArray(book['entries']) ? book['entries'] : [];
  return entries.flatMap((entry) =>
    isObject(entry) && entry['enabled'] !== false ? textsOf(entry['content']).slice(0, 1) : [],
  );
}

function greetingsOf(data: JsonObject): string[] {
  return ['first_mes', 'alternate_greetings', 'group_only_greetings']
    .flatMap((field) => textsOf(data[field]))
    .map((text) => `{{char}}: ${text}`);
}

function examplesOf(examples: unknown): string[] {
  return textsOf(examples)
    .flatMap((text) => text.split(/<START>/i))
    .filter((text) => text.trim() !== '');
}
