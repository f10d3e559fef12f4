import type { SearchAttribute } from './temporal-needs.ts';

/** What Temporal's UI shows of a workflow before it has run: the one place, so that none is started without. */

/** What a workflow is of. */
type WorkflowKind =
  | 'fleet'
  | 'reflection'
  | 'memory'
  | 'talk'
  | 'gateway'
  | 'persona'
  | 'source'
  | 'guild'
  | 'ballot'
  | 'drop'
  | 'market'
  | 'telling'
  | 'work'
  | 'upkeep';

interface Window {
  kind: WorkflowKind;
  /** In one line, of its input. */
  summary: (input: Input) => string;
  /** Markdown: what it does, and where its truth stands. */
  details: string;
}

/** Of any workflow: what its window reads of it. */
type Input = Readonly<Partial<Record<Field, string | number | null>>>;
type Field =
  | 'agentId'
  | 'amount'
  | 'ballotId'
  | 'cadence'
  | 'channelId'
  | 'compositionId'
  | 'deliveryId'
  | 'dropId'
  | 'eventId'
  | 'guildId'
  | 'inviteId'
  | 'listingId'
  | 'machineId'
  | 'mailId'
  | 'messageId'
  | 'modelId'
  | 'notificationId'
  | 'payoutId'
  | 'period'
  | 'planVersion'
  | 'provider'
  | 'purchaseId'
  | 'ratingId'
  | 'refundId'
  | 'rolloutId'
  | 'action'
  | 'requestId'
  | 'sourceId'
  | 'trigger'
  | 'serviceId'
  | 'whisperId'
  | 'workId';

const sweep = (kind: WorkflowKind, what: string, details: string): Window => ({ kind, summary: () => what, details });

const windows = {
  checkFleetHealth: sweep(
    'fleet',
    'judges the leases of all machines',
    'Every 5 s, for ever. A machine whose lease ran out is lost, and the fleet is planned anew. Rows: `machines`.',
  ),
  judgeFleetHealth: sweep(
    'fleet',
    'looks at how every part does',
    'Every 5 s, for ever: the looks whose time has come. Rows: `health`, `health_changes`. In words: `soulfra health`.',
  ),
  replanFleet: {
    kind: 'fleet',
    summary: ({ planVersion }) => `plan ${planVersion}`,
    details:
      'Computes where each model is kept and which agent lives where, and has each machine apply it with the least moves. Rows: `plans`.',
  },
  drainMachine: {
    kind: 'fleet',
    summary: ({ machineId }) => `drains ${machineId}`,
    details: 'The machine takes no new calls; it ends once the calls in hand are done.',
  },
  syncModels: sweep(
    'fleet',
    'brings models to their versions',
    'Machine after machine, each with an answer for a trial; one that gives none goes back to what it served. In words: `soulfra models verify`.',
  ),
  runServices: {
    kind: 'fleet',
    summary: ({ action, requestId }) => `${action} of services, ${requestId}`,
    details:
      'Starts services wave by wave, what is needed first, and stops them the other way round, each on its machine. Rows: `service_runs`.',
  },
  reflectFleet: {
    kind: 'reflection',
    summary: ({ cadence }) => (cadence ? `agents of every ${cadence}` : 'every agent'),
    details:
      'One cycle over agents that are due: a sliding window per queue, the longest expected work first. Rows: `sweeps`, `runs`.',
  },
  reflectAgent: {
    kind: 'reflection',
    summary: ({ agentId, trigger }) => `${agentId} reflects (${trigger})`,
    details:
      'Reads what is new to the agent, asks its model, holds what it concludes against earlier reflections, stores it. Climbs the ladder: same queue, smaller model, parked. Rows: `runs`, `reflections`. In words: `soulfra runs why`.',
  },
  answerMessage: {
    kind: 'talk',
    summary: ({ agentId }) => `${agentId} answers`,
    details: 'Recalls memories, asks the model before its other work, stores answer and citations. Rows: `messages`.',
  },
  completeChat: {
    kind: 'gateway',
    summary: ({ modelId }) => `${modelId} answers a service`,
    details:
      'Asks a machine that serves the model; another one where that goes away before its first word. Rows: `gateway_requests`, deleted once answered.',
  },
  spawnPersona: {
    kind: 'persona',
    summary: ({ whisperId }) => `persona of ${whisperId}`,
    details:
      'Drafts a persona, judges how new it is, takes room on a card, waits for a word where one is asked for, bears it. Rows: `whispers`.',
  },
  judgeDrift: {
    kind: 'persona',
    summary: ({ ratingId }) => `judges ${ratingId}`,
    details: 'A model says, several times over, how far an agent stands from its persona. Rows: `drift_ratings`.',
  },
  rateDrift: sweep(
    'persona',
    'how far agents stand from their personas',
    'Every 6 h, page by page. Rows: `drift_ratings`.',
  ),
  placeGlobe: sweep('memory', 'places on the memory globe', 'Every hour, where something is new. Rows: `globes`.'),
  clusterAgents: sweep('persona', 'which agents speak alike', 'Every day. Rows: `cluster_runs`, `clusters`.'),
  weaveMemories: sweep('memory', 'links memories of different agents', 'Every hour. Rows: `threads`.'),
  consolidateMemories: sweep('memory', 'agents that remember over their limit', 'Every hour. Rows: `memories`.'),
  reembedMemories: sweep('memory', 'vectors of memories', 'Every 10 min: those that have none. Rows: `embeddings`.'),
  pollSources: sweep('source', 'sources that are due', 'Every minute; each is read by a workflow of its own.'),
  pollSource: {
    kind: 'source',
    summary: ({ sourceId }) => `reads ${sourceId}`,
    details: 'Reads it, stores what is new, gives it to the agents. Rows: `source_items`, `source_states`.',
  },
  inviteToGuild: {
    kind: 'guild',
    summary: ({ inviteId, guildId }) => `invitation ${inviteId ?? ''} to ${guildId ?? 'a guild'}`,
    details: 'Waits for an answer, with two reminders, until it expires. Rows: `guild_invites`.',
  },
  holdBallot: {
    kind: 'ballot',
    summary: ({ ballotId }) => `holds ${ballotId}`,
    details:
      'Keeps the clock of discussion and vote, closes it, carries its effect out. Votes are rows. Rows: `ballots`.',
  },
  askVoter: {
    kind: 'ballot',
    summary: ({ agentId, ballotId }) => `${agentId} votes on ${ballotId}`,
    details: 'Asks the agent’s model for its vote. Rows: `votes`.',
  },
  rollOut: {
    kind: 'upkeep',
    summary: ({ rolloutId }) => `carries out ${rolloutId}`,
    details:
      'Does the steps of work packages, verifies and undoes them. Rows: `rollouts`, `rollout_packages`, `rollout_steps`.',
  },
  settleEgo: sweep('ballot', 'voting weight is earned and fades', 'Every day, once a fact. Rows: `ego_entries`.'),
  composeDrops: sweep(
    'drop',
    'schedules of drops that are due',
    'Every minute; each composition is a workflow of its own.',
  ),
  composeDrop: {
    kind: 'drop',
    summary: ({ compositionId }) => `composes ${compositionId}`,
    details: 'From reflections that may go out, by the model of who speaks. Rows: `compositions`, `drops`.',
  },
  publishDrop: {
    kind: 'drop',
    summary: ({ dropId }) => `publishes ${dropId}`,
    details:
      'Waits for its time, then posts to each channel, none twice by itself. Rows: `deliveries`, `delivery_attempts`.',
  },
  collectReplies: sweep('drop', 'replies to drops', 'Every 10 min: what others answered becomes memories.'),
  purchaseLicense: {
    kind: 'market',
    summary: ({ listingId }) => `buys ${listingId}`,
    details:
      'Authorize, license pending, capture (the pivot: from there only forward), license active, ledger. Rows: `purchases`.',
  },
  settleRefund: {
    kind: 'market',
    summary: ({ refundId, purchaseId }) => `${refundId} of ${purchaseId}`,
    details: 'The provider gives the money back, then the books say so. Rows: `refunds`.',
  },
  settlePaymentEvent: {
    kind: 'market',
    summary: ({ provider, eventId }) => `${provider} told ${eventId}`,
    details: 'What a provider told is read again there and settled. Rows: `payment_events`.',
  },
  resumePayments: sweep('market', 'payments that were left behind', 'Every hour.'),
  payOutCreators: sweep('market', 'creators who are owed', 'Every day; each payout is a workflow of its own.'),
  payOutCreator: {
    kind: 'market',
    summary: ({ payoutId }) => `pays ${payoutId}`,
    details: 'Asks the provider under an id made before, until it says paid or refused. Rows: `payouts`.',
  },
  shareBlessings: sweep(
    'market',
    'shares the blessing pool',
    'Every week, by what was blessed (thanked). Rows: `ledger_transfers`.',
  ),
  assessReadiness: sweep(
    'upkeep',
    'readiness of an existing fleet',
    'Ten assessors over one inventory. Rows: `readiness_runs`, `readiness_findings`.',
  ),
  reconcileLedger: sweep(
    'market',
    'passes over the books',
    'Every account, transfer and entry. Rows: `ledger_reconciliations`.',
  ),
  expireLicenses: sweep(
    'market',
    'licenses over their term',
    'Every hour; what they permit goes by time, not by this.',
  ),
  sendMail: {
    kind: 'telling',
    summary: ({ mailId }) => `sends ${mailId}`,
    details: 'Again only where it was surely not taken, or a second copy does no harm. Rows: `mails`, `mail_attempts`.',
  },
  deliverWebhook: {
    kind: 'telling',
    summary: ({ deliveryId }) => `delivers ${deliveryId}`,
    details: 'A signed event to one endpoint, at least once. Rows: `webhook_deliveries`, `webhook_attempts`.',
  },
  tellNotices: sweep(
    'telling',
    'what people are to be told',
    'Every minute: messages of notices. Rows: `notifications`.',
  ),
  sendNotification: {
    kind: 'telling',
    summary: ({ notificationId }) => `tells ${notificationId}`,
    details: 'One message to one destination of `notify`, at least once, for a day at most. Rows: `notifications`.',
  },
  sendDigest: sweep('telling', 'the digest of the day', 'One message to each destination. Rows: `notifications`.'),
  sendHeartbeat: sweep('telling', 'asks the address that is watched from outside', 'As long as a machine works.'),
  runWork: {
    kind: 'work',
    summary: ({ workId, serviceId }) => `${workId ?? 'work'} for ${serviceId ?? 'a service'}`,
    details:
      'Offers work to the claimers of a service until one has done it, the attempts are used up or its deadline has come. Rows: `works`, `work_attempts`.',
  },
  backUp: sweep(
    'upkeep',
    'backs up both databases and the keys',
    'One moment of Postgres and of Temporal, closed by the key, read back, copied, old ones deleted. Rows: `backups`. In words: `soulfra backups list`.',
  ),
  drillRestore: sweep(
    'upkeep',
    'tries to restore the newest backup',
    'Beside the fleet: every row and the ledger are compared, then it is thrown away. Rows: `restore_drills`.',
  ),
  mirrorPublic: sweep(
    'upkeep',
    'copies what is public',
    'By the allow-list of domain/public-mirror.ts, read back. Rows: `mirror_runs`. In words: `soulfra mirror status`.',
  ),
  applyRetention: sweep('upkeep', 'deletes what has outlived its retention', 'Every day, batch by batch.'),
} as const satisfies Record<string, Window>;

export type WorkflowType = keyof typeof windows;
export const workflowTypes = Object.keys(windows) as WorkflowType[];

export interface WorkflowWindow {
  staticSummary: string;
  staticDetails: string;
  typedSearchAttributes: Array<{ key: { name: SearchAttribute; type: 'KEYWORD' }; value: string }>;
}

const mostSummary = 200;

/**
 * The options of a start that are for people. A type that another version works beside this one has only its name.
 * @param args as the workflow gets them
 * @param said what whoever starts it says of it, beside what it is
 */
export function windowOf(type: string, args: readonly unknown[], said?: string): WorkflowWindow {
  const window: Window | undefined = Object.hasOwn(windows, type) ? windows[type as WorkflowType] : undefined;
  const first = args[0];
  const input = (typeof first === 'object' && first !== null ? first : {}) as Input;
  const summary = window?.summary(input) ?? type;
  const pair = (name: SearchAttribute, value: string) => ({ key: { name, type: 'KEYWORD' as const }, value });
  const of = ([field, name]: readonly [Field, SearchAttribute]) => {
    const value = input[field];
    return typeof value === 'string' && value !== '' ? [pair(name, value)] : [];
  };
  return {
    staticSummary: (said === undefined || said === summary ? summary : `${summary}: ${said}`).slice(0, mostSummary),
    staticDetails: window?.details ?? type,
    typedSearchAttributes: [
      ...(window === undefined ? [] : [pair('SoulfraKind', window.kind)]),
      ...(
        [
          ['agentId', 'AgentId'],
          ['machineId', 'MachineId'],
          ['guildId', 'GuildId'],
        ] as const
      ).flatMap(of),
    ],
  };
}
