export const agentTabs = ['persona', 'talk', 'memories', 'reflections', 'lineage', 'work'] as const;
export type AgentTab = (typeof agentTabs)[number];

export interface AgentSearch {
  tab?: AgentTab;
  /** A reflection that is open. */
  reflection?: string;
}

export function agentSearch({ tab, reflection }: Record<string, unknown>): AgentSearch {
  const known = agentTabs.find((each) => each === tab);
  return {
    ...(known === undefined || known === 'persona' ? {} : { tab: known }),
    ...(typeof reflection === 'string' ? { reflection } : {}),
  };
}
