import { cleanLine, cleanText } from './clean-text.ts';
import { addressesIn } from './addresses.ts';

/** A drop made of reflections. Pure: activities/compose-drop.ts has it written, stores/compositions.ts keeps it. */

export const compositionStates = ['composing', 'composed', 'empty', 'capped', 'failed'] as const;
export type CompositionState = (typeof compositionStates)[number];

/** Reflections that one drop may speak of, and how many days back. */
export const compositionLimits = { reflections: 12, days: 14 } as const;
export const extractiveDropVersion = 'extractive-drop/1';
/** The step that a machine's result is stored under. */
export const compositionStep = 'drop';

export interface ComposedDrop {
  title: string;
  body: string;
  /** In brief, for channels where the body would be cut; empty: it is cut. */
  short: string;
  narration: string;
  /** Ids of reflections. */
  evidence: string[];
  source: 'model' | 'extractive';
  promptVersion: string;
  modelId: string;
  tokens: number;
}

export interface ComposableReflection {
  id: string;
  text: string;
}

const quoted = 2;
const titleChars = 80;

/** Without a model: the newest reflections as they stand, under the first words of the newest. @returns undefined where none can stand in public as it is */
export function extractiveDrop(
  reflections: readonly ComposableReflection[],
): Pick<ComposedDrop, 'title' | 'body' | 'narration' | 'evidence'> | undefined {
  const usable = reflections.filter(({ text }) => addressesIn(text).length === 0).slice(0, quoted);
  const [first] = usable;
  if (first === undefined) return undefined;
  const words = cleanLine(first.text);
  const end = words.lastIndexOf(' ', titleChars);
  const title =
    words.length <= titleChars ? words : `${words.slice(0, end > 20 ? end : titleChars - 1).toWellFormed()}…`;
  const body = usable.map(({ text }) => cleanText(text)).join('\n\n');
  return { title, body, narration: body, evidence: usable.map(({ id }) => id) };
}

/** What a model has named as evidence, as ids; nothing that it was not shown. */
export function evidenceOf(named: readonly string[], shown: readonly ComposableReflection[]): string[] {
  const ids = named.flatMap((alias) => {
    const place = /^r([1-9]\d?)$/.exec(alias.trim())?.[1];
    const reflection = place === undefined ? undefined : shown[Number(place) - 1];
    return reflection === undefined ? [] : [reflection.id];
  });
  return [...new Set(ids)];
}
