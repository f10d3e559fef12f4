import { bad, good, plain, warn } from './output.ts';

/** A whisper as it stands, in an answer of the API. */
export interface MadeWhisper {
  id: string;
  state: string;
  code: string | null;
  reason: string;
  agentId: string | null;
}

/** What came of it, in one line. */
export function whisperLine({ id, state, agentId, code, reason }: MadeWhisper): string {
  if (agentId !== null) return `${good('✔')} ${id} became ${agentId}`;
  if (code !== null) return `${bad('✖')} ${id} ${state} ${code}: ${plain(reason)}`;
  return `${warn('●')} ${id} ${state}: soulfra whispers show ${id}`;
}
