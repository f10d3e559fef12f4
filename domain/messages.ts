/** Names that workflows, activities and rows share. */

/** Rows this workflow waits for have changed: read them again. Carries nothing, so many may fold into one. */
export const rowsChangedSignal = 'rowsChanged';

/** The one step of an answer that leaves the database. */
export const answerStep = 'answer';

/** The one step of a reflection that leaves the database. */
export const insightsStep = 'insights';

/** A person's word on the draft of a whisper that was shown; answered with how the whisper ended. */
export const decideWhisperUpdate = 'decideWhisper';
export type WhisperDecision = { draft: number } & ({ approve: true } | { approve: false; reason: string });
