import type { ChatMessage } from '../domain/prompts/chat.ts';
import { aliasOf } from '../domain/prompts/records.ts';
import { isReflectPromptVersion, reflectPromptMessages } from '../domain/prompts/versions.ts';
import type { ReflectableMemory } from '../domain/reflections.ts';
import { forgottenMark, type ShownMemory } from '../domain/run-steps.ts';
import type { Database } from '../stores/database.ts';
import { type CallView, findCallOf, shownMemories } from '../stores/queries/reflection-calls.ts';
import { type EvidenceView, findReflection, type ReflectionDetail } from '../stores/queries/reflections.ts';

export interface ExplainedEvidence extends EvidenceView {
  /** What the prompt called it. */
  alias: string | null;
  /** Why it came to mind; null for what was simply new. */
  scored: NonNullable<ShownMemory['scored']> | null;
}

export interface ExplainedReflection extends Omit<ReflectionDetail, 'evidence'> {
  evidence: ExplainedEvidence[];
  call: (Omit<CallView, 'prompt'> & { question: string | null; shown: ShownMemory[] }) | null;
  /** Built anew from its version and what it was made of; `exact` where nothing of that was forgotten since. */
  prompt: { messages: ChatMessage[]; exact: boolean } | null;
  note: string;
}

/** All there is to say of how a reflection came to be. */
export async function explainReflection(
  db: Database,
  ownerId: string,
  id: string,
): Promise<ExplainedReflection | undefined> {
  const reflection = await findReflection(db, ownerId, id);
  if (!reflection) return undefined;
  const call = await findCallOf(db, id);
  const shown = call?.prompt.shown ?? [];
  const places = new Map(shown.map(({ memoryId, scored }, place) => [memoryId, { place, scored }]));
  const evidence = reflection.evidence.map((memory): ExplainedEvidence => {
    const at = places.get(memory.memoryId);
    return {
      ...memory,
      text: memory.text === '' ? forgottenMark : memory.text,
      alias: at === undefined || reflection.source !== 'model' ? null : aliasOf(at.place),
      scored: at?.scored ?? null,
    };
  });
  const built = call && (await promptOf(db, call));
  return {
    ...reflection,
    evidence,
    call: call ? viewOf(call) : null,
    prompt: built ?? null,
    note: noteOf(reflection, built),
  };
}

async function promptOf(db: Database, call: CallView): Promise<ExplainedReflection['prompt']> {
  const { promptVersion, prompt } = call;
  if (!isReflectPromptVersion(promptVersion) || prompt.agent === null) return null;
  const known = await shownMemories(
    db,
    prompt.shown.map(({ memoryId }) => memoryId),
  );
  const memories = prompt.shown.map(({ memoryId, until }): ReflectableMemory => {
    const memory = { ...known.get(memoryId)!, ...(until === undefined ? {} : { until }) };
    return memory.text === '' ? { ...memory, text: forgottenMark } : memory;
  });
  const forgotten = prompt.question === forgottenMark || [...known.values()].some(({ text }) => text === '');
  const input = { agent: prompt.agent, question: prompt.question, memories, unshown: prompt.unshown };
  return { messages: reflectPromptMessages(promptVersion, input, prompt.repair), exact: !forgotten };
}

/** A repaired answer was asked for with the next seed. */
function viewOf({ prompt, seed, ...call }: CallView): ExplainedReflection['call'] {
  const sent = seed === null || prompt.repair === null ? seed : seed + 1;
  return { ...call, seed: sent, question: prompt.question, shown: prompt.shown };
}

function noteOf(reflection: ReflectionDetail, prompt: ExplainedReflection['prompt'] | undefined): string {
  if (reflection.source === 'extractive')
    return 'No model was asked: every part is quoted from the memories it rests on.';
  if (reflection.source === 'import') return 'It came from another fleet, which did not tell how it was made.';
  if (!prompt) return 'It was made by a version that did not keep what its prompt was made of.';
  return prompt.exact ? '' : 'Something that the prompt showed was forgotten since; it stands as [forgotten].';
}
