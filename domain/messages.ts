/** Names that workflows, activities and rows share. */

/** Rows this workflow waits for have changed: read them again. Carries nothing, so many may fold into one. */
export const rowsChangedSignal = 'rowsChanged';

/** The one step of an answer that leaves the database. */
export const answerStep = 'answer';

/** The one step of a reflection that leaves the database. */
export const insightsStep = 'insights';
