import {
  isObject,
  type JsonObject,
  type LostPart,
  type PersonaExport,
  type PersonaFile,
  type PersonaFormat,
} from '../../domain/persona-files.ts';
import { writeCardPng } from './card-png.ts';
import { readPersona } from './persona-importer.ts';

export interface LeavingPersona {
  name: string;
  persona: string;
  traits: readonly string[];
  maskSeed: number;
  /** What it came in as, and its picture. */
  file?: PersonaFile | undefined;
  picture?: Buffer | undefined;
}

export interface WrittenPersona {
  mediaType: 'application/json' | 'image/png';
  /** Ends a file name. */
  suffix: string;
  body: Buffer;
  /** Of what it came in as: what the format has no place for. */
  lost: LostPart[];
}

/**
 * A persona in the form of another program. In the form that it came in it goes out as it came, with the name, persona and
 * traits that it has now; in another one these alone do, and what else came with it is told as lost.
 */
export function writePersona(agent: LeavingPersona, format: PersonaExport): WrittenPersona {
  if (format !== 'card-png') {
    const body = Buffer.from(`${JSON.stringify(documentOf(agent, format), null, 2)}\n`);
    const suffix = format === 'eliza' ? 'character.json' : 'card.json';
    return { mediaType: 'application/json', suffix, body, lost: lostOf(agent, format) };
  }
  // A V2 card stays one; all else is V3, with a V2 copy for programs that know no other.
  const isV2 = agent.file?.format === 'card-v2' || agent.file?.format === 'card-v1';
  const v2 = ['chara', documentOf(agent, 'card-v2')] as const;
  const body = writeCardPng(isV2 ? [v2] : [['ccv3', documentOf(agent, 'card-v3')], v2], {
    picture: agent.picture,
    seed: agent.maskSeed,
  });
  return { mediaType: 'image/png', suffix: 'card.png', body, lost: lostOf(agent, isV2 ? 'card-v2' : 'card-v3') };
}

type Written = Exclude<PersonaFormat, 'card-v1'>;

function documentOf(agent: LeavingPersona, format: Written): JsonObject {
  const { file } = agent;
  const base = file && sameKind(file.format, format) ? broughtTo(file, format) : emptyDocument(format);
  return withLiving(base, agent, format);
}

/** Cards are cards: V2 has all the fields of V1, V3 all of V2; the other way some have no place. */
function sameKind(from: PersonaFormat, to: Written): boolean {
  return (from === 'eliza') === (to === 'eliza');
}

const onlyV3 = new Set([
  'assets',
  'nickname',
  'creator_notes_multilingual',
  'source',
  'group_only_greetings',
  'creation_date',
  'modification_date',
]);

function broughtTo({ format, document }: PersonaFile, to: Written): JsonObject {
  if (format === to) return document;
  const empty = emptyDocument(to);
  const all = format === 'card-v1' ? document : (document['data'] as JsonObject);
  const data = format === 'card-v3' ? withoutKeys(all, onlyV3) : all;
  return { ...(format === 'card-v1' ? {} : document), ...empty, data: { ...(empty['data'] as JsonObject), ...data } };
}

function withoutKeys(object: JsonObject, keys: ReadonlySet<string>): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.has(key)));
}

/** Name, persona and traits are the agent's own: where they are not what the document says, they take its place. */
function withLiving(document: JsonObject, agent: LeavingPersona, format: Written): JsonObject {
  const said = readPersona(document, { name: agent.name });
  const isSame = said.persona === agent.persona && sameTexts(said.traits, agent.traits);
  if (format === 'eliza') {
    const style = isObject(document['style']) ? document['style'] : {};
    return {
      ...document,
      name: agent.name,
      ...(isSame
        ? {}
        : { bio: [agent.persona], adjectives: [...agent.traits], topics: [], style: { ...style, all: [], chat: [] } }),
    };
  }
  const data = document['data'] as JsonObject;
  const extensions = isObject(data['extensions']) ? data['extensions'] : {};
  return {
    ...document,
    data: {
      ...data,
      name: agent.name,
      ...(isSame
        ? {}
        : {
            description: agent.persona,
            personality: agent.traits.join(', '),
            scenario: '',
            // As a list they come back as they are, also those with a comma in them.
            extensions: { ...extensions, soulfra: { traits: [...agent.traits] } },
          }),
    },
  };
}

function sameTexts(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text, i) => text === others[i]);
}

function emptyDocument(format: Written): JsonObject {
  if (format === 'eliza') {
    return {
      name: '',
      bio: [],
      adjectives: [],
      topics: [],
      style: { all: [], chat: [], post: [] },
      messageExamples: [],
      postExamples: [],
    };
  }
  const data = {
    name: '',
    description: '',
    personality: '',
    scenario: '',
    first_mes: '',
    mes_example: '',
    creator_notes: '',
    system_prompt: '',
    post_history_instructions: '',
    alternate_greetings: [],
    tags: [],
    creator: '',
    character_version: '',
    extensions: {},
  };
  return format === 'card-v2'
    ? { spec: 'chara_card_v2', spec_version: '2.0', data }
    : { spec: 'chara_card_v3', spec_version: '3.0', data: { ...data, group_only_greetings: [] } };
}

/** What came with it and has no place in what is written. */
function lostOf({ file }: LeavingPersona, written: Written): LostPart[] {
  if (!file) return [];
  const fields = sameKind(file.format, written)
    ? Object.keys(isObject(file.document['data']) ? file.document['data'] : {}).filter(
        (field) => written === 'card-v2' && onlyV3.has(field),
      )
    : readPersona(file.document, { name: 'any' }).lost.map(({ field }) => field);
  return fields.map((field) => ({
    field,
    kept: true,
    reason: `it came in as ${file.format}, which has a place for it`,
  }));
}
