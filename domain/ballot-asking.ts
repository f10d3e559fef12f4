/** An agent of an electorate, as the rule of who is asked sees it. */
export interface AskableAgent {
  voterId: string;
  lineageId: string;
  /** The living cluster it is in. */
  clusterId: string | null;
  /** Micro-ego. */
  weight: number;
}

export interface Asking {
  /** Asked through inference, the first first. */
  asked: string[];
  /** Who is not asked, and whose vote counts for it until it votes itself. */
  follows: Map<string, string>;
}

/**
 * Whom a ballot asks, and whom the others follow. Each living cluster sends its heaviest agent, the heaviest clusters first; then each
 * lineage of which nobody is asked yet, likewise, until the places are gone. Who is not asked follows the heaviest asked agent of its
 * lineage, else of its cluster, else nobody. Weights that are level go by id. Who weighs nothing is not asked.
 */
export function chooseAsked(agents: readonly AskableAgent[], most: number): Asking {
  const asked: AskableAgent[] = [];
  const send = (groups: ReadonlyMap<string, readonly AskableAgent[]>, isDone: (group: string) => boolean) => {
    for (const [group, members] of heaviestFirst(groups)) {
      if (asked.length >= most) return;
      const free = members.find((agent) => agent.weight > 0 && !asked.includes(agent));
      if (free !== undefined && !isDone(group)) asked.push(free);
    }
  };
  const clusters = groupBy(agents, ({ clusterId }) => clusterId);
  const lineages = groupBy(agents, ({ lineageId }) => lineageId);
  send(clusters, () => false);
  send(lineages, (lineage) => asked.some(({ lineageId }) => lineageId === lineage));

  const order = asked.toSorted(heavier);
  const ofLineage = firstOf(order, ({ lineageId }) => lineageId);
  const ofCluster = firstOf(order, ({ clusterId }) => clusterId);
  const askedIds = new Set(asked.map(({ voterId }) => voterId));
  const follows = new Map<string, string>();
  for (const { voterId, lineageId, clusterId } of agents) {
    if (askedIds.has(voterId)) continue;
    const followed = ofLineage.get(lineageId) ?? (clusterId === null ? undefined : ofCluster.get(clusterId));
    if (followed !== undefined) follows.set(voterId, followed);
  }
  return { asked: [...askedIds], follows };
}

function heavier(a: AskableAgent, b: AskableAgent): number {
  return b.weight - a.weight || (a.voterId < b.voterId ? -1 : 1);
}

/** Members within each group the heaviest first. */
function groupBy(
  agents: readonly AskableAgent[],
  keyOf: (agent: AskableAgent) => string | null,
): Map<string, AskableAgent[]> {
  const groups = new Map<string, AskableAgent[]>();
  for (const agent of agents.toSorted(heavier)) {
    const key = keyOf(agent);
    if (key === null) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [agent]);
    else group.push(agent);
  }
  return groups;
}

function heaviestFirst(groups: ReadonlyMap<string, readonly AskableAgent[]>): Array<[string, readonly AskableAgent[]]> {
  return [...groups]
    .map(([key, members]) => ({ key, members, weight: members.reduce((sum, { weight }) => sum + weight, 0) }))
    .sort((a, b) => b.weight - a.weight || (a.key < b.key ? -1 : 1))
    .map(({ key, members }) => [key, members]);
}

function firstOf(agents: readonly AskableAgent[], keyOf: (agent: AskableAgent) => string | null): Map<string, string> {
  const first = new Map<string, string>();
  for (const agent of agents) {
    const key = keyOf(agent);
    if (key !== null && !first.has(key)) first.set(key, agent.voterId);
  }
  return first;
}
