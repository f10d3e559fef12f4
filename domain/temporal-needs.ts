/** What Soulfra asks of a Temporal server; `npm start` sets it up, `soulfra doctor` looks whether it is so. */
export const searchAttributeNames = ['AgentId', 'MachineId', 'GuildId', 'SoulfraKind'] as const;
export type SearchAttribute = (typeof searchAttributeNames)[number];

/** Closed workflows are kept so long: a caller's key is answered from them. */
export const namespaceRetentionSeconds = 30 * 86_400;

export const leastTemporalServer = '1.31.0';

/** Dynamic settings of a server that Soulfra has to itself: a queue in one piece, and short polls between its own parts. */
export const temporalSettings: Readonly<Record<string, number>> = {
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  'history.transferProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxPollRPS': 2000,
  'history.visibilityProcessorMaxPollRPS': 2000,
};
