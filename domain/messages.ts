/** Names of signals, updates and queries on the wire. */

/** Rows this workflow waits for have changed: read them again. Carries nothing, so many may fold into one. */
export const rowsChangedSignal = 'rowsChanged';
