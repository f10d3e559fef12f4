import { isObject, type JsonObject, type LostPart, textsOf } from '../../domain/persona-files.ts';
import type { PersonaImporter } from './persona-importer.ts';

const reasons: Record<string, string> = {
  system: 'an instruction: no file gives orders to a model here',
  templates: 'instructions: no file gives orders to a model here',
  plugins: 'programs of ElizaOS; nothing of them runs here',
  clients: 'programs of ElizaOS; nothing of them runs here',
  clientConfig: 'programs of ElizaOS; nothing of them runs here',
  modelProvider: 'the fleet says which model works for an agent',
  settings: 'settings of ElizaOS; fleet.yaml has those of an agent here',
  messageExamples: 'examples; they become memories where that is asked for',
  postExamples: 'examples; they become memories where that is asked for',
  lore: 'facts; they become memories where that is asked for',
  knowledge: 'facts; texts among them become memories where that is asked for',
  username: 'an agent has one name here',
  id: 'ids are given here',
};
const taken = new Set(['name', 'bio', 'adjectives', 'topics', 'style']);

/** A character of ElizaOS, in the shapes of its versions 1 and 2: `bio` is a text or a list, examples have `user` or `name`. */
export const elizaImporter: PersonaImporter = {
  reads: (document) =>
    !('spec' in document) &&
    ['bio', 'lore', 'adjectives', 'messageExamples', 'postExamples', 'plugins', 'topics'].some(
      (key) => key in document,
    ),

  read(document) {
    const style = isObject(document['style']) ? document['style'] : {};
    const speaks = [...textsOf(style['all']), ...textsOf(style['chat'])];
    const topics = textsOf(document['topics']);
    return {
      format: 'eliza',
      document,
      name: document['name'] ?? document['username'],
      paragraphs: [
        textsOf(document['bio']).join(' '),
        speaks.length === 0 ? '' : `How {{char}} speaks: ${speaks.join('; ')}.`,
        topics.length === 0 ? '' : `{{char}} likes to talk of ${topics.join(', ')}.`,
      ],
      traits: textsOf(document['adjectives']),
      lost: lostOf(document, style),
      seeds: [
        ...[...textsOf(document['lore']), ...knowledgeOf(document['knowledge'])].map((text) => ({
          text,
          kind: 'observation' as const,
        })),
        ...conversationsOf(document['messageExamples']).map((text) => ({ text, kind: 'conversation' as const })),
        ...textsOf(document['postExamples']).map((text) => ({ text, kind: 'drop' as const })),
      ],
    };
  },
};

function lostOf(document: JsonObject, style: JsonObject): LostPart[] {
  const fields = Object.keys(document).filter((field) => !taken.has(field));
  const said = fields.map((field) => [field, reasons[field] ?? 'not known here'] as const);
  const styles = Object.keys(style).filter((key) => key !== 'all' && key !== 'chat');
  return [...said, ...styles.map((key) => [`style.${key}`, 'not part of a persona here'] as const)].map(
    ([field, reason]) => ({ field, kept: true, reason }),
  );
}

/** Texts; what names a file or folder of the other host says nothing here. */
function knowledgeOf(knowledge: unknown): string[] {
  return (Array.isArray(knowledge) ? knowledge : []).flatMap((each): string[] => {
    if (isObject(each) && isObject(each['item']) && each['item']['case'] !== undefined) return [];
    if (isObject(each)) return textsOf(each['content'] ?? each['text']);
    return textsOf(each);
  });
}

/** A conversation as one text; the visitor's name differs from message to message in no way that matters. */
function conversationsOf(examples: unknown): string[] {
  return (Array.isArray(examples) ? examples : []).flatMap((each): string[] => {
    const turns: unknown[] = Array.isArray(each)
      ? each
      : isObject(each) && Array.isArray(each['examples'])
        ? each['examples']
        : [];
    const lines = turns.flatMap((turn): string[] => {
      if (!isObject(turn)) return [];
      const [text] = textsOf(isObject(turn['content']) ? turn['content']['text'] : turn['content']);
      const [speaker] = textsOf(turn['name'] ?? turn['user']);
      return text === undefined ? [] : [`${speakerOf(speaker)}: ${text}`];
    });
    return lines.length === 0 ? [] : [lines.join('\n')];
  });
}

function speakerOf(name: string | undefined): string {
  return name === undefined || /^\{\{(?:user|name)\d*\}\}$/i.test(name) ? '{{user}}' : name;
}
