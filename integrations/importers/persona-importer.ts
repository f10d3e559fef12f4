import { type FieldError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import {
  fitted,
  isObject,
  type JsonObject,
  type LostPart,
  type PersonaFile,
  personaLimits,
  plainCardText,
  withoutSecrets,
} from '../../domain/persona-files.ts';
import type { MemoryKind } from '../../domain/states.ts';
import { cardImporter } from './character-card.ts';
import { elizaImporter } from './eliza.ts';

export interface ImportedPersona extends PersonaFile {
  name: string;
  persona: string;
  traits: string[];
  lost: LostPart[];
  /** What was changed so that it can go in. */
  notes: FieldError[];
  /** What it could remember, if that is asked for. */
  seeds: Array<{ text: string; kind: MemoryKind }>;
}

/** What one format makes of a document, its texts as they stand there. */
export interface ReadPersonaFile {
  format: PersonaFile['format'];
  /** Without what this format must not be kept of. */
  document: JsonObject;
  name: unknown;
  /** Stands for `{{char}}`; default: the name. */
  calledBy?: string;
  paragraphs: string[];
  traits: string[];
  lost: LostPart[];
  seeds: ImportedPersona['seeds'];
}

export interface PersonaImporter {
  reads(document: JsonObject): boolean;
  read(document: JsonObject): ReadPersonaFile;
}

const importers: readonly PersonaImporter[] = [cardImporter, elizaImporter];
/** Told one by one; a file of a megabyte may hold very many. */
const mostLost = 200;
const seedLimits = { count: 1_000, chars: 8_000 };

/**
 * A character as some other program keeps it.
 * @param name in the place of the one in the file
 * @throws INVALID_INPUT where it is none that is known
 */
export function readPersona(json: unknown, { name: given }: { name?: string | undefined } = {}): ImportedPersona {
  if (!isObject(json))
    throw fieldError('', 'must be a block of keys', 'Send a character of ElizaOS or a character card.');
  const importer = importers.find((each) => each.reads(json));
  if (!importer) {
    throw fieldError(
      '',
      'is neither a character of ElizaOS nor a character card (V1, V2, V3)',
      'A character of ElizaOS has `name` and `bio`, a card `spec` and `data`.',
    );
  }
  const { document, removed } = withoutSecrets(json);
  const read = importer.read(document);
  const notes: FieldError[] = [];
  const name = given ?? nameOf(read.name);
  const plain = (text: string) => plainCardText(text, plainCardText(read.calledBy ?? name, name));
  const lost = [
    ...removed.map((field): LostPart => ({ field, kept: false, reason: 'a secret: it is never stored' })),
    ...read.lost,
  ];
  return {
    format: read.format,
    document: read.document,
    name,
    persona: personaOf(read.paragraphs.map(plain), name, notes),
    traits: traitsOf(read.traits.map(plain), notes),
    lost: lost.length <= mostLost ? lost : [...lost.slice(0, mostLost), moreLost(lost.length - mostLost)],
    notes,
    seeds: seedsOf(
      read.seeds.map(({ text, kind }) => ({ text: plain(text), kind })),
      notes,
    ),
  };
}

function moreLost(count: number): LostPart {
  return { field: '…', kept: false, reason: `and ${count} more` };
}

function nameOf(name: unknown): string {
  const clean = typeof name === 'string' ? plainCardText(name, '').replaceAll(/\s+/gu, ' ') : '';
  if (clean === '') throw fieldError('name', 'is required', 'Name the character, in the file or with the import.');
  if (clean.length <= personaLimits.nameChars) return clean;
  throw fieldError(
    'name',
    `must hold at most ${personaLimits.nameChars} characters`,
    'Give it a shorter one with the import.',
  );
}

function personaOf(paragraphs: readonly string[], name: string, notes: FieldError[]): string {
  const whole = paragraphs.filter((paragraph) => paragraph !== '').join('\n\n');
  if (whole === '') {
    notes.push({ path: 'persona', rule: 'the file says nothing of who it is', mend: 'Its name stands alone.' });
    return `This is ${name}.`;
  }
  const persona = fitted(whole, personaLimits.personaChars);
  if (persona.length < whole.length) {
    const rule = `holds ${whole.length} characters, and ${personaLimits.personaChars} fit into a prompt`;
    notes.push({ path: 'persona', rule, mend: `The first ${persona.length} are used; all are kept.` });
  }
  return persona;
}

function traitsOf(all: readonly string[], notes: FieldError[]): string[] {
  const whole = [...new Set(all.map((trait) => trait.replaceAll(/\s+/gu, ' ')))].filter((trait) => trait !== '');
  const traits = whole.filter(({ length }) => length <= personaLimits.traitChars).slice(0, personaLimits.traits);
  if (traits.length < whole.length) {
    const rule = `are ${whole.length}, and at most ${personaLimits.traits} of up to ${personaLimits.traitChars} characters are used`;
    notes.push({ path: 'traits', rule, mend: 'All are kept.' });
  }
  return traits;
}

function seedsOf(all: ImportedPersona['seeds'], notes: FieldError[]): ImportedPersona['seeds'] {
  const said = all.filter(({ text }) => /[^\s\p{Cc}\p{Cf}]/u.test(text));
  const seeds = said.filter(({ text }) => text.length <= seedLimits.chars).slice(0, seedLimits.count);
  if (seeds.length < said.length) {
    const rule = `${said.length - seeds.length} of what it could remember are over ${seedLimits.chars} characters or beyond ${seedLimits.count}`;
    notes.push({ path: 'memories', rule, mend: 'Left out of its memories; kept with the file.' });
  }
  return seeds;
}
