// Made by `npm run gen` from docs/openapi.json.
export interface Schemas {
  MemoryLineInput: {
    text: string;
    kind?: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
    importance?: number;
    source?: string;
    occurredAt?: string;
    externalKey?: string;
    type?: 'memory';
    agentId?: string;
    validTo?: string;
    supersededBy?: string;
    supersededAt?: string;
    deletedAt?: string;
    deletedReason?: string;
    lastUsedAt?: string;
    recordedAt?: string;
  } | {
    kind?: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
    importance?: number;
    source?: string;
    occurredAt: string;
    externalKey: string;
    type?: 'memory';
    agentId?: string;
    validTo?: string;
    supersededBy?: string;
    supersededAt?: string;
    deletedAt?: string;
    deletedReason?: string;
    lastUsedAt?: string;
    recordedAt?: string;
    forgotten: true;
  } | {
    text: string;
    importance?: number;
    source?: string;
    occurredAt?: string;
    externalKey?: string;
    type: 'reflection';
    agentId?: string;
    validTo?: string;
    supersededBy?: string;
    supersededAt?: string;
    deletedAt?: string;
    deletedReason?: string;
    lastUsedAt?: string;
    recordedAt?: string;
    evidence: Array<string>;
    depth?: number;
    model?: string;
    promptVersion?: string;
  } | {
    type: 'header';
    format: 'soulfra-memories';
    version: number;
    agentId: string;
    name: string;
    exportedAt: string;
  } | {
    type: 'end';
    lines: number;
  };
  ChatCompletionRequestInput: {
    model: string;
    messages: Array<{
      role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
      content?: string | Array<{
        type: string;
      }> | null;
    }>;
    stream?: boolean | null;
    stream_options?: {
      include_usage?: boolean | null;
    } | null;
    max_tokens?: number | null;
    max_completion_tokens?: number | null;
    n?: number | null;
    temperature?: number | null;
    top_p?: number | null;
    top_k?: number | null;
    min_p?: number | null;
    repetition_penalty?: number | null;
    presence_penalty?: number | null;
    frequency_penalty?: number | null;
    seed?: number | null;
    stop?: string | Array<string> | null;
    response_format?: {
      type: 'text' | 'json_object' | 'json_schema';
    } | null;
    tools?: Array<{
      type: string;
    }> | null;
    tool_choice?: string | Record<string, unknown> | null;
    parallel_tool_calls?: boolean | null;
    logit_bias?: Record<string, number> | null;
    logprobs?: boolean | null;
    top_logprobs?: number | null;
    reasoning_effort?: string | null;
    user?: string | null;
  };
  EmbeddingRequestInput: {
    model: string;
    input: string | Array<string | number | Array<number>>;
    encoding_format?: 'float' | 'base64' | null;
    user?: string | null;
  };
  PriceInput: {
    amount: number;
    currency: string;
  };
  LoopManifest: {
    agentId: string;
    name: string;
    memories: number;
    reflections: number;
    needs: {
      archetype: string;
      cadence: string;
      model: string;
      leastClass: '8g' | '12g' | '16g' | '24g' | '32g' | '48g' | '80g' | '141g';
      mayDegrade: boolean;
      expectedTokens: number;
      importanceThreshold: number;
    };
    models: Array<{
      license: string | null;
      commercialUse: 'allowed' | 'barred' | 'unknown';
      id: string;
    }>;
    madeFrom?: {
      contentHash: string;
      keyId: string;
    };
    members: Array<{
      name: 'manifest.json' | 'signature.json' | 'persona.json' | 'prompts.json' | 'memories.ndjson';
      size: number;
      sha256: string;
    }>;
    format: 'soulfra-loop';
    version: 1;
    agentHash: string;
    contentHash: string;
    madeBy: {
      keyId: string;
    };
  };
  Problem: {
    type: string;
    title: string;
    status: number;
    code: 'INVALID_INPUT' | 'MALFORMED_BODY' | 'UNSUPPORTED_MEDIA_TYPE' | 'BODY_TOO_LARGE' | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'NOT_FOUND' | 'METHOD_NOT_ALLOWED' | 'CONFLICT' | 'RATE_LIMITED' | 'INTERNAL' | 'UNAVAILABLE' | 'CONFIG_INVALID' | 'CADENCE_TOO_FAST' | 'DATA_NEWER' | 'FENCED' | 'AGENT_RETIRED' | 'AGENT_DORMANT' | 'MACHINE_UNKNOWN' | 'TOKENS_SPENT' | 'MACHINE_YIELDED' | 'MODEL_SERVER_DOWN' | 'MODEL_OVERLOADED' | 'MODEL_STALLED' | 'MODEL_MISSING' | 'MODEL_UNVERIFIED' | 'MODEL_REFUSED' | 'MODEL_OUTPUT_INVALID' | 'ADDRESS_REFUSED' | 'REMOTE_FAILED' | 'EMBEDDINGS_FAILED' | 'BALANCE_TOO_LOW' | 'ADDRESS_NOT_VERIFIED' | 'BUDGET_EXCEEDED' | 'LISTING_REFUSED' | 'PRECONDITION_REQUIRED' | 'PRECONDITION_FAILED' | 'PAYMENT_REFUSED' | 'PAYMENT_PROVIDER_DOWN' | 'PAYMENT_UNKNOWN' | 'PAYMENTS_NOT_SET_UP' | 'LOOP_TAMPERED' | 'KEY_NOT_PINNED' | 'SIGNING_KEY_MISSING' | 'PAYLOAD_KEY_MISSING' | 'LICENSE_REFUSED' | 'BACKUP_DAMAGED' | 'BACKUP_KEY_WRONG' | 'DISK_FULL' | 'GUILD_FULL' | 'INVITE_ENDED' | 'INVITE_LIMIT' | 'WORK_LEASE_LOST' | 'SERVICE_TAKES_NO_WORK' | 'MODEL_UNKNOWN' | 'MODEL_UNSERVED' | 'CONTEXT_TOO_LONG' | 'PARAMETER_UNSUPPORTED' | 'GATEWAY_BUSY' | 'BODY_TOO_SLOW' | 'DEPLOY_BLOCKED' | 'MACHINE_INVITE_ENDED' | 'CERTIFICATE_REFUSED' | 'VERSION_DIFFERS' | 'CLOCK_OFF' | 'ANSWER_CUT';
    detail: string;
    mend: string;
    requestId: string;
    errors?: Array<{
      path: string;
      rule: string;
      mend: string;
    }>;
  };
  DryRun: {
    dryRun: true;
    would: string;
  };
  AgentBudget: {
    agentId: string;
    currency: string;
    amount: number;
    spent: number;
    changedAt: string;
  };
  Agent: {
    id: string;
    name: string;
    archetype: string;
    origin: 'fleet' | 'spawn' | 'import';
    parentId: string | null;
    lineageId: string;
    generation: number;
    state: 'active' | 'parked' | 'dormant' | 'retired';
    paused: boolean;
    cadence: string;
    modelId: string;
    machineId: string | null;
    traits: Array<string>;
    maskSeed: number;
    why: string;
    memories: number;
    unread: number;
    drift: {
      state: 'calm' | 'drifting' | 'estranged';
      since: string;
      drift: number;
      z: number | null;
      ratedAt: string;
    } | null;
    nextRunAt: string | null;
    lastRun: {
      id: string;
      state: 'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled';
      reason: string;
      degraded: boolean;
      machineId: string | null;
      createdAt: string;
      endedAt: string | null;
    } | null;
  };
  AgentDetail: {
    id: string;
    name: string;
    archetype: string;
    origin: 'fleet' | 'spawn' | 'import';
    parentId: string | null;
    lineageId: string;
    generation: number;
    state: 'active' | 'parked' | 'dormant' | 'retired';
    paused: boolean;
    cadence: string;
    modelId: string;
    machineId: string | null;
    traits: Array<string>;
    maskSeed: number;
    why: string;
    memories: number;
    unread: number;
    drift: {
      state: 'calm' | 'drifting' | 'estranged';
      since: string;
      drift: number;
      z: number | null;
      ratedAt: string;
    } | null;
    nextRunAt: string | null;
    lastRun: {
      id: string;
      state: 'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled';
      reason: string;
      degraded: boolean;
      machineId: string | null;
      createdAt: string;
      endedAt: string | null;
    } | null;
    persona: string;
    leastClass: '8g' | '12g' | '16g' | '24g' | '32g' | '48g' | '80g' | '141g';
    mayDegrade: boolean;
    priority: number;
    tokensPerDay: number;
    expectedTokens: number;
    importanceThreshold: number;
    importanceSum: number;
    fleetVersion: number;
    ego: number;
    createdAt: string;
    file?: {
      format: 'eliza' | 'card-v1' | 'card-v2' | 'card-v3';
      document: Record<string, unknown>;
    } | null;
    loop: {
      contentHash: string;
      keyId: string;
      trusted: boolean;
      installedAt: string;
    } | null;
  };
  EgoEntry: {
    id: string;
    agentId: string;
    counterAgentId: string | null;
    kind: 'opening' | 'spawn' | 'retire' | 'revive' | 'cited' | 'blessed' | 'sold' | 'voted' | 'decay';
    transferId: string;
    amount: number;
    balance: number;
    at: string;
  };
  Alerts: {
    source: 'prometheus' | 'none';
    reason: string;
    rules: Array<{
      name: string;
      group: string;
      severity: string;
      state: 'firing' | 'pending' | 'unknown' | 'inactive';
      summary: string;
      reason: string;
      runbook: string;
      health: Array<'agent' | 'machine' | 'worker' | 'model_server' | 'schedule' | 'channel' | 'ledger' | 'disk' | 'backup' | 'certificate' | 'service' | 'token' | 'mirror' | 'archive'>;
      of: Array<{
        labels: Record<string, string>;
        summary: string;
        state: 'firing' | 'pending' | 'inactive';
        since: string;
      }>;
    }>;
  };
  AuditEntry: {
    id: string;
    at: string;
    actor: string | null;
    actorName: string | null;
    tokenId: string | null;
    kind: 'bearer' | 'session' | null;
    role: 'operator' | 'creator' | 'member' | 'reader' | null;
    service: string | null;
    method: string;
    route: string;
    subjects: Array<string>;
    outcome: 'done' | 'refused' | 'failed' | 'unknown';
    status: number | null;
  };
  Backup: {
    id: string;
    state: 'running' | 'done' | 'failed';
    reason: string;
    startedAt: string;
    endedAt: string | null;
    folder: string;
    bytes: number | null;
    rows: number | null;
    copyReason: string;
  };
  RestoreDrill: {
    id: string;
    backupId: string;
    state: 'running' | 'done' | 'failed';
    reason: string;
    startedAt: string;
    endedAt: string | null;
    rpoSeconds: number | null;
    rtoSeconds: number | null;
  };
  Machine: {
    id: string;
    labels: Array<string>;
    gpus: Array<{
      name: string;
      class: '8g' | '12g' | '16g' | '24g' | '32g' | '48g' | '80g' | '141g';
      vramGiB: number;
    }>;
    modelServer: {
      kind: string;
      url: string | null;
      sequences: number;
    } | null;
    runsAs: 'local' | 'remote' | 'simulated';
    state: 'ready' | 'suspect' | 'lost' | 'draining' | 'drained';
    reason: string;
    alive: boolean;
    models: Array<string>;
    resident: Array<string>;
    idle: Array<{
      modelId: string;
      since: string;
    }>;
    lacks: Array<string>;
    slots: number;
    agents: number;
    polls: Array<string>;
    epoch: number;
    leaseUntil: string | null;
    planVersion: number | null;
    identity: string | null;
    yields: string | null;
    fleetVersion: number | null;
    drifts: boolean;
  };
  MachineInvite: {
    id: string;
    machineId: string;
    state: 'open' | 'used' | 'expired' | 'revoked';
    createdAt: string;
    expiresAt: string;
    usedAt: string | null;
  };
  Certificate: {
    serial: string;
    kind: 'authority' | 'server' | 'machine';
    machineId: string | null;
    generation: number;
    state: 'living' | 'expired' | 'revoked';
    issuedAt: string;
    notAfter: string;
  };
  MirrorRun: {
    id: string;
    target: 'folder' | 'postgres';
    state: 'running' | 'done' | 'failed';
    reason: string;
    startedAt: string;
    endedAt: string | null;
    entries: number | null;
    bytes: number | null;
    written: number | null;
    removed: number | null;
    sha256: string | null;
  };
  Tally: {
    method: 'single' | 'approval' | 'weighted' | 'quadratic' | 'ranked';
    scores: Array<number>;
    base: number;
    abstained: number;
    voters: number;
    leader: number | null;
    rounds: Array<{
      scores: Array<number>;
      eliminated: number | null;
      exhausted: number;
    }>;
  };
  Ballot: {
    id: string;
    guildId: string | null;
    authorKind: 'agent' | 'user';
    authorId: string;
    title: string;
    text: string;
    method: 'single' | 'approval' | 'weighted' | 'quadratic' | 'ranked';
    options: Array<string>;
    effect: {
      kind: 'none';
    } | {
      kind: 'spawn_approval';
      whisperId: string;
      draft: number;
    } | {
      kind: 'blessing_share';
    } | {
      kind: 'drop_approval';
      dropId: string;
      version: number;
    } | {
      kind: 'guild_rule';
      rule: {
        name: 'seats';
        value: number;
      } | {
        name: 'invite';
        value: 'founder' | 'elder' | 'member';
      } | {
        name: 'expel';
        value: 'founder' | 'elder';
      } | {
        name: 'close';
        value: 'founder' | 'ballot';
      };
    } | {
      kind: 'guild_close';
    };
    state: 'discussion' | 'open' | 'passed' | 'rejected' | 'no_quorum' | 'carried_out' | 'effect_failed';
    reasonCode: '' | 'NO_QUORUM' | 'NO_VOTES' | 'TIED' | 'UNDER_THRESHOLD' | 'AGAINST' | 'WITHDRAWN';
    reason: string;
    quorum: number;
    threshold: number;
    lineageShare: number;
    createdAt: string;
    opensAt: string;
    openedAt: string | null;
    closesAt: string | null;
    extendedAt: string | null;
    weight: number | null;
    present: number;
    tally: Schemas['Tally'] | null;
    winner: number | null;
    closedAt: string | null;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  Voter: {
    voterId: string;
    voterKind: 'agent' | 'user';
    lineageId: string;
    ego: number;
    weight: number;
    asked: boolean;
    follows: string | null;
    hasVoted: boolean;
    choice: number | Array<number> | Record<string, number> | null;
    reason: string;
    evidence: Array<string>;
    origin: 'person' | 'model' | 'absent' | null;
    modelId: string | null;
    changedAt: string | null;
  };
  Remark: {
    id: string;
    ballotId: string;
    authorKind: 'agent' | 'user';
    authorId: string;
    text: string;
    saidAt: string;
  };
  Guild: {
    id: string;
    name: string;
    purpose: string;
    state: 'open' | 'closed';
    seats: number;
    seatsUsed: number;
    foundedBy: string;
    own: Array<{
      memberId: string;
      agentId: string | null;
      role: 'founder' | 'elder' | 'member' | 'guest';
    }>;
    rules: Array<{
      name: 'seats' | 'invite' | 'expel' | 'close';
      value: string | number;
      ballotId: string;
      madeAt: string;
    }>;
    createdAt: string;
    closedAt: string | null;
  };
  GuildMember: {
    id: string;
    kind: 'agent' | 'user';
    userId: string;
    agentId: string | null;
    name: string;
    role: 'founder' | 'elder' | 'member' | 'guest';
    joinedAt: string;
    endedAt: string | null;
    endedBy: 'left' | 'expelled' | 'closed' | null;
  };
  GuildEvent: {
    seq: number;
    action: 'founded' | 'renamed' | 'resized' | 'joined' | 'left' | 'expelled' | 'appointed' | 'transferred' | 'closed' | 'invited' | 'resent' | 'declined' | 'revoked' | 'expired' | 'ruled';
    actorId: string | null;
    actorAgentId: string | null;
    actorName: string | null;
    subject: string;
    memberName: string | null;
    reason: string;
    data: Record<string, unknown>;
    at: string;
  };
  Drop: {
    id: string;
    state: 'draft' | 'awaiting_approval' | 'scheduled' | 'publishing' | 'published' | 'partly_published' | 'failed' | 'canceled';
    reason: string;
    agentId: string | null;
    title: string;
    body: string;
    bodies: Record<string, string>;
    narration: string;
    channels: Array<string>;
    evidence: Array<string>;
    source: 'person' | 'model' | 'extractive';
    degraded: boolean;
    version: number;
    publishAt: string | null;
    sentAt: string | null;
    approvedBy: string | null;
    createdAt: string;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  Delivery: {
    id: string;
    dropId: string;
    channelId: string;
    channel: string;
    kind: 'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky';
    state: 'pending' | 'sending' | 'published' | 'failed' | 'unconfirmed';
    rehearsal: boolean;
    text: string | null;
    reason: string;
    url: string | null;
    attempts: number;
    createdAt: string;
    endedAt: string | null;
  };
  DropDetail: {
    id: string;
    state: 'draft' | 'awaiting_approval' | 'scheduled' | 'publishing' | 'published' | 'partly_published' | 'failed' | 'canceled';
    reason: string;
    agentId: string | null;
    title: string;
    body: string;
    bodies: Record<string, string>;
    narration: string;
    channels: Array<string>;
    evidence: Array<string>;
    source: 'person' | 'model' | 'extractive';
    degraded: boolean;
    version: number;
    publishAt: string | null;
    sentAt: string | null;
    approvedBy: string | null;
    createdAt: string;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
    deliveries: Array<Schemas['Delivery']>;
    attempts: Array<{
      deliveryId: string;
      attempt: number;
      beganAt: string;
      endedAt: string | null;
      outcome: 'published' | 'deferred' | 'refused' | 'unknown' | null;
      status: number | null;
      reason: string;
    }>;
  };
  Blessing: {
    dropId: string;
    agentId: string;
    isNew: boolean;
  };
  Channel: {
    id: string;
    kind: 'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky';
    name: string;
    settings: Record<string, unknown>;
    stage: 'dry_run' | 'approval' | 'free';
    allowExtractive: boolean;
    allowDegraded: boolean;
    stoppedAt: string | null;
    stopReason: string;
    repliesStoppedAt: string | null;
    repliesStopReason: string;
    notBefore: string | null;
    createdAt: string;
  };
  Cluster: {
    id: string;
    state: 'living' | 'merged' | 'gone';
    members: number;
    terms: Array<string>;
    splitFrom: string | null;
    mergedInto: string | null;
    bornAt: string;
    endedAt: string | null;
  };
  ClusterDetail: {
    id: string;
    state: 'living' | 'merged' | 'gone';
    members: number;
    terms: Array<string>;
    splitFrom: string | null;
    mergedInto: string | null;
    bornAt: string;
    endedAt: string | null;
    agents: Array<{
      id: string;
      name: string;
      drift: 'calm' | 'drifting' | 'estranged' | null;
    }>;
    why: Array<{
      term: string;
      quotes: Array<{
        agentId: string;
        outputId: string;
        quote: string;
      }>;
    }>;
    run: {
      id: string;
      period: string;
      agents: number;
      sampledShare: number;
      madeAt: string;
    } | null;
  };
  ClusterRun: {
    id: string;
    period: string;
    agents: number;
    clusters: number;
    apart: number;
    sampledShare: number;
    memoryLimitMib: number;
    skipped: boolean;
    reason: string;
    seconds: number;
    madeAt: string;
  };
  Globe: {
    placedAt: string | null;
    from: string | null;
    to: string | null;
    agents: {
      ids: Array<string>;
      names: Array<string>;
      maskSeeds: Array<number>;
      places: Array<number>;
    };
    memories: {
      ids: Array<string>;
      agents: Array<number>;
      kinds: Array<'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale'>;
      texts: Array<string>;
      times: Array<number>;
      places: Array<number>;
    };
    arcs: Array<{
      threadId: string;
      kind: 'same_event' | 'echo' | 'contradiction';
      from: number;
      to: number;
    }>;
    regions: Array<{
      clusterId: string;
      terms: Array<string>;
      members: number;
      middle: Array<number>;
      reach: number;
    }>;
  };
  CreditGrant: {
    transferId: string;
    userId: string;
    amount: number;
    currency: string;
    reason: string;
    balance: number;
    at: string;
  };
  Check: {
    id: string;
    machine: string | null;
    state: 'ok' | 'warn' | 'fail' | 'skipped';
    detail: string;
    mend: string | null;
  };
  MemoryLine: {
    text: string;
    kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
    importance: number;
    source: string;
    occurredAt?: string;
    externalKey?: string;
    type: 'memory';
    agentId?: string;
    validTo?: string;
    supersededBy?: string;
    supersededAt?: string;
    deletedAt?: string;
    deletedReason?: string;
    lastUsedAt?: string;
    recordedAt?: string;
  } | {
    kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
    importance: number;
    source: string;
    occurredAt: string;
    externalKey: string;
    type: 'memory';
    agentId?: string;
    validTo?: string;
    supersededBy?: string;
    supersededAt?: string;
    deletedAt?: string;
    deletedReason?: string;
    lastUsedAt?: string;
    recordedAt?: string;
    forgotten: true;
  } | {
    text: string;
    importance: number;
    source: string;
    occurredAt?: string;
    externalKey?: string;
    type: 'reflection';
    agentId?: string;
    validTo?: string;
    supersededBy?: string;
    supersededAt?: string;
    deletedAt?: string;
    deletedReason?: string;
    lastUsedAt?: string;
    recordedAt?: string;
    evidence: Array<string>;
    depth?: number;
    model?: string;
    promptVersion?: string;
  } | {
    type: 'header';
    format: 'soulfra-memories';
    version: number;
    agentId: string;
    name: string;
    exportedAt: string;
  } | {
    type: 'end';
    lines: number;
  };
  License: {
    id: string;
    kind: string;
    state: 'pending' | 'active' | 'suspended' | 'revoked' | 'expired' | 'used_up';
    holder: string;
    issuer: string;
    packageHash: string;
    purchaseId: string | null;
    suspendedBy: Array<string>;
    uses: number;
    usesLimit: number | null;
    activations: number;
    activationsLimit: number | null;
    seats: number;
    seatsLimit: number | null;
    transferable: boolean;
    commercial: boolean;
    transfers: number;
    issuedAt: string;
    startsAt: string | null;
    expiresAt: string | null;
    graceSeconds: number;
  };
  LicensePermission: {
    code: 'VALID' | 'IN_GRACE' | 'PENDING' | 'SUSPENDED' | 'REVOKED' | 'EXPIRED' | 'USED_UP' | 'TOO_MANY_ACTIVATIONS' | 'NO_SEAT' | 'NOT_ACTIVATED' | 'TOO_MANY_FILES' | 'SCOPE_MISSING' | 'NOT_TRANSFERABLE' | 'CLOCK_SET_BACK';
    permitted: boolean;
    explanation: string;
    mend: string;
    license: Schemas['License'];
  };
  DownloadLink: {
    url: string;
    expiresAt: string;
    contentHash: string;
  };
  DropStop: {
    stopped: boolean;
    since: string | null;
    reason: string;
  };
  DriftRating: {
    id: string;
    agentId: string;
    period: string;
    state: 'calm' | 'drifting' | 'estranged';
    drift: number;
    weighted: number;
    z: number | null;
    windowSize: number;
    history: number;
    model: string;
    spaceId: string | null;
    reason: string;
    ratedAt: string;
    judgement: {
      state: 'pending' | 'done' | 'none';
      scores: Record<'prompt_to_line' | 'line_to_line' | 'answers', {
        mean: number;
        spread: number;
        samples: Array<number>;
      }> | null;
      samples: number;
      modelId: string | null;
      promptVersion: string | null;
      tokens: number;
      reason: string;
    } | null;
  };
  AgentDrift: {
    agentId: string;
    name: string;
    state: 'calm' | 'drifting' | 'estranged' | null;
    since: string | null;
    drift: number | null;
    weighted: number | null;
    z: number | null;
    period: string | null;
    ratedAt: string | null;
    why: string;
  };
  DropPreview: {
    channelId: string;
    name: string;
    kind: 'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky';
    text: string;
    characters: number;
    cut: boolean;
  };
  DropSchedule: {
    id: string;
    agentId: string | null;
    clusterId: string | null;
    guildId: string | null;
    times: Array<string>;
    weekdays: Array<number>;
    timeZone: string;
    jitterMinutes: number;
    quietFrom: string | null;
    quietTo: string | null;
    perDay: number;
    channels: Array<string>;
    paused: boolean;
    note: string;
    nextAt: string;
    createdAt: string;
  };
  PlanSummary: {
    machines: Array<{
      machineId: string;
      models: Array<{
        modelId: string;
        queue: string;
        slots: number;
        counted: number;
        vramGiB: number;
      }>;
      agents: number;
      vramUsedGiB: number;
      vramUsableGiB: number;
    }>;
    unplaced: Array<{
      agentId: string;
      reason: string;
    }>;
    hours: Array<{
      gpuClass: '8g' | '12g' | '16g' | '24g' | '32g' | '48g' | '80g' | '141g';
      needed: number;
      available: number;
    }>;
  };
  FleetChange: {
    action: 'create' | 'change' | 'retire' | 'revive' | 'keep';
    kind: 'fleet' | 'machine' | 'model' | 'agent' | 'schedule' | 'source' | 'setting' | 'service' | 'work_package';
    id: string;
    fields: Array<{
      field: string;
      from?: unknown;
      to?: unknown;
    }>;
    note?: string;
  };
  AppliedFleet: {
    changes: Array<Schemas['FleetChange']>;
    version: number | null;
    planVersion: number | null;
    dryRun?: true;
    servicesKept?: number;
    plan?: {
      before: Schemas['PlanSummary'] | null;
      after: Schemas['PlanSummary'];
    };
  };
  Plan: {
    version: number;
    state: 'planned' | 'applying' | 'applied' | 'superseded';
    reason: string;
    fleetVersion: number | null;
    createdAt: string;
    appliedAt: string | null;
    plan: Schemas['PlanSummary'] | null;
  };
  Fleet: {
    name: string;
    version: number;
    appliedAt: string;
    machines: Array<Schemas['Machine']>;
    agents: {
      total: number;
      active: number;
      parked: number;
      dormant: number;
      retired: number;
      paused: number;
      unplaced: number;
    };
    plan: {
      version: number;
      state: 'planned' | 'applying' | 'applied' | 'superseded';
      reason: string;
      fleetVersion: number | null;
      createdAt: string;
      appliedAt: string | null;
    } | null;
    runs: {
      queued: number;
      running: number;
      parked: number;
      degraded: number;
      runningByMachine: Record<string, number>;
      queues: Array<{
        queue: string;
        modelId: string;
        waiting: number;
        running: number;
        waitingSince: string | null;
      }>;
    };
  };
  Simulation: {
    before: Schemas['PlanSummary'];
    after: Schemas['PlanSummary'];
    moves: {
      loads: Array<{
        machineId: string;
        modelId: string;
      }>;
      unloads: Array<{
        machineId: string;
        modelId: string;
      }>;
      slots: Array<{
        machineId: string;
        modelId: string;
        before: number;
        after: number;
      }>;
    };
    homes: Array<{
      from: string;
      to: string;
      agents: number;
    }>;
    services: Array<{
      id: string;
      from: string | null;
      to: string | null;
      because: string;
    }>;
    waits: Array<{
      modelId: string;
      agents: number;
      reason: string;
    }>;
    degrades: Array<{
      modelId: string;
      agents: number;
      reason: string;
    }>;
    parks: Array<{
      modelId: string;
      agents: number;
      reason: string;
    }>;
  };
  FleetVersion: {
    version: number;
    changes: number;
    undoOf: number | null;
    appliedAt: string;
  };
  FleetMap: {
    name: string;
    version: number;
    planVersion: number | null;
    machines: Array<{
      id: string;
      host: string;
      state: 'ready' | 'suspect' | 'lost' | 'draining' | 'drained';
      models: Array<string>;
      agents: number;
      services: number;
    }>;
    agents: Array<{
      id: string;
      name: string;
      state: 'active' | 'parked' | 'dormant' | 'retired';
      modelId: string;
      machineId: string | null;
      why: string;
    }>;
    services: Array<{
      id: string;
      kind: 'process' | 'container' | 'pod' | 'unit';
      state: 'unknown' | 'starting' | 'up' | 'down' | 'stopped';
      reason: string;
      machineId: string | null;
      why: string;
      address: string | null;
    }>;
  };
  FleetFiles: {
    files: Array<{
      path: string;
      source: string;
    }>;
    etag: string;
    version: number;
  };
  OpenAiError: {
    error: {
      message: string;
      type: string;
      param: string | null;
      code: string;
    };
  };
  Health: {
    kind: 'agent' | 'machine' | 'worker' | 'model_server' | 'schedule' | 'channel' | 'ledger' | 'disk' | 'backup' | 'certificate' | 'service' | 'token' | 'mirror' | 'archive';
    id: string;
    name: string;
    state: 'lost' | 'failing' | 'late' | 'not_set_up' | 'ok';
    reason: string;
    since: string;
    pendingState: 'lost' | 'failing' | 'late' | 'not_set_up' | 'ok' | null;
  };
  HealthChange: {
    seq: string;
    kind: 'agent' | 'machine' | 'worker' | 'model_server' | 'schedule' | 'channel' | 'ledger' | 'disk' | 'backup' | 'certificate' | 'service' | 'token' | 'mirror' | 'archive';
    id: string;
    from: 'lost' | 'failing' | 'late' | 'not_set_up' | 'ok' | null;
    to: 'lost' | 'failing' | 'late' | 'not_set_up' | 'ok';
    reason: string;
    at: string;
  };
  HealthSummary: {
    state: 'lost' | 'failing' | 'late' | 'not_set_up' | 'ok';
    reason: string;
    judgedAt: string | null;
    counts: Record<'lost' | 'failing' | 'late' | 'not_set_up' | 'ok', number>;
    kinds: Array<{
      kind: 'agent' | 'machine' | 'worker' | 'model_server' | 'schedule' | 'channel' | 'ledger' | 'disk' | 'backup' | 'certificate' | 'service' | 'token' | 'mirror' | 'archive';
      counts: Record<'lost' | 'failing' | 'late' | 'not_set_up' | 'ok', number>;
    }>;
    worst: Array<Schemas['Health']>;
  };
  Invite: {
    id: string;
    guildId: string;
    guildName: string;
    target: 'agent' | 'user' | 'address' | 'link';
    userId: string | null;
    agentId: string | null;
    address: string | null;
    role: 'elder' | 'member' | 'guest';
    message: string;
    inviterId: string;
    inviterAgentId: string | null;
    inviterName: string;
    state: 'pending' | 'accepted' | 'declined' | 'revoked' | 'expired' | 'used_up';
    reason: string;
    uses: number;
    usesLimit: number | null;
    resends: number;
    reminders: number;
    waitsFor: 'agent' | 'owner' | null;
    answerBy: string | null;
    createdAt: string;
    expiresAt: string | null;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  SentInvite: {
    id: string;
    guildId: string;
    guildName: string;
    target: 'agent' | 'user' | 'address' | 'link';
    userId: string | null;
    agentId: string | null;
    address: string | null;
    role: 'elder' | 'member' | 'guest';
    message: string;
    inviterId: string;
    inviterAgentId: string | null;
    inviterName: string;
    state: 'pending' | 'accepted' | 'declined' | 'revoked' | 'expired' | 'used_up';
    reason: string;
    uses: number;
    usesLimit: number | null;
    resends: number;
    reminders: number;
    waitsFor: 'agent' | 'owner' | null;
    answerBy: string | null;
    createdAt: string;
    expiresAt: string | null;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
    token?: string;
  };
  AcceptedInvite: {
    inviteId: string;
    guildId: string;
    memberId: string;
    role: string;
  };
  StartedInvite: {
    id: string;
    guildId: string;
    state: 'pending';
    token?: string;
  };
  ReadinessFinding: {
    rule: string;
    area: 'work_packages' | 'distribution' | 'configuration' | 'code' | 'security' | 'resources' | 'observability' | 'containers' | 'data' | 'operations';
    severity: 'critical' | 'high' | 'medium' | 'low' | 'unknown';
    subject: string;
    place: string | null;
    evidence: string;
    mend: string;
    workPackage: string;
    fingerprint: string;
    state: 'new' | 'known' | 'returned' | 'gone' | null;
    accepted: {
      until: string;
      by: string;
      reason: string;
    } | null;
  };
  ReadinessRun: {
    id: string;
    repository: {
      folder: string;
      machineId: string | null;
      machineFiles: Array<{
        machine: string;
        file: string;
      }>;
      portRules: Array<{
        name: string;
        add: number;
      }>;
    };
    state: 'running' | 'done' | 'failed';
    reason: string;
    verdict: 'ready' | 'partially_ready' | 'not_ready' | null;
    startedAt: string;
    finishedAt: string | null;
  };
  Readiness: {
    run: string;
    verdict: 'ready' | 'partially_ready' | 'not_ready';
    counts: Record<'critical' | 'high' | 'medium' | 'low' | 'unknown', number>;
    accepted: number;
    findings: Array<Schemas['ReadinessFinding']>;
    gone: Array<{
      rule: string;
      area: 'work_packages' | 'distribution' | 'configuration' | 'code' | 'security' | 'resources' | 'observability' | 'containers' | 'data' | 'operations';
      severity: 'critical' | 'high' | 'medium' | 'low' | 'unknown';
      subject: string;
      place: string | null;
      evidence: string;
      mend: string;
      workPackage: string;
      fingerprint: string;
    }>;
    documents?: string;
    sarif?: unknown;
  };
  LedgerAccount: {
    id: string;
    kind: 'outside' | 'credits' | 'escrow' | 'creator' | 'platform' | 'blessings' | 'tax' | 'fees' | 'disputes' | 'payouts';
    holder: string;
    currency: string;
    balance: number;
    version: number;
    createdAt: string;
  };
  LedgerTransfer: {
    id: string;
    seq: number;
    kind: 'grant' | 'hold' | 'release' | 'sale' | 'fee_taken' | 'fee_returned' | 'refund' | 'dispute_opened' | 'dispute_won' | 'dispute_lost' | 'beyond_taken' | 'beyond_returned' | 'beyond_covered' | 'payout_started' | 'payout_paid' | 'payout_failed' | 'blessings_shared';
    currency: string;
    purchaseId: string | null;
    reason: string;
    credited: number;
    debited: number;
    at: string;
  };
  LedgerTransferDetail: {
    id: string;
    seq: number;
    kind: 'grant' | 'hold' | 'release' | 'sale' | 'fee_taken' | 'fee_returned' | 'refund' | 'dispute_opened' | 'dispute_won' | 'dispute_lost' | 'beyond_taken' | 'beyond_returned' | 'beyond_covered' | 'payout_started' | 'payout_paid' | 'payout_failed' | 'blessings_shared';
    currency: string;
    purchaseId: string | null;
    reason: string;
    credited: number;
    debited: number;
    at: string;
    madeBy: string | null;
    entries: Array<{
      accountId: string;
      kind: 'outside' | 'credits' | 'escrow' | 'creator' | 'platform' | 'blessings' | 'tax' | 'fees' | 'disputes' | 'payouts';
      holder: string;
      amount: number;
      balance: number;
      version: number;
    }>;
  };
  LedgerReconciliation: {
    period: string;
    madeAt: string;
    accounts: number;
    transfers: number;
    entries: number;
    discrepancies: number;
    found: Array<{
      kind: 'sum' | 'balance' | 'version' | 'transfer' | 'purchase' | 'license';
      subject: string;
      expected: string;
      found: string;
    }>;
  };
  BlessingShare: {
    period: string;
    madeAt: string;
    blessings: number | null;
    shared: Array<{
      currency: string;
      pool: number;
      shared: number;
    }> | null;
    yourBlessings: number;
    yours: Array<{
      amount: number;
      currency: string;
    }>;
  };
  LicenseKind: {
    id: string;
    summary: string;
    uses: number | null;
    activations: number | null;
    seats: number | null;
    termSeconds: number | null;
    graceSeconds: number;
    transferable: boolean;
    commercial: boolean;
  };
  LineageMember: {
    id: string;
    name: string;
    origin: 'fleet' | 'spawn' | 'import';
    parentId: string | null;
    lineageId: string;
    generation: number;
    state: 'active' | 'parked' | 'dormant' | 'retired';
    ego: number;
  };
  Price: {
    amount: number;
    currency: string;
  };
  Purchase: {
    id: string;
    buyer: string;
    buyerAgentId: string | null;
    seller: string;
    listingId: string;
    listingVersion: number;
    termsVersion: string;
    licenseKind: string;
    packageId: string;
    contentHash: string;
    payment: string;
    payUrl: string | null;
    state: 'pending' | 'authorized' | 'captured' | 'completed' | 'canceled' | 'failed';
    reasonCode: string;
    reason: string;
    price: Schemas['Price'];
    tax: number;
    split: {
      creators: Array<{
        userId: string;
        amount: number;
      }>;
      platform: number;
      blessings: number;
      tax: number;
    };
    refunded: number;
    licenseId: string | null;
    createdAt: string;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  Listing: {
    id: string;
    seller: string;
    state: 'draft' | 'listed' | 'paused' | 'retired';
    title: string;
    summary: string;
    price: Schemas['Price'];
    kinds: Array<string>;
    termsVersion: string;
    creators: Array<{
      userId: string;
      weight: number;
    }>;
    modelStatement: string;
    packageId: string;
    contentHash: string;
    agentName: string;
    memories: number;
    reflections: number;
    models: Array<{
      license: string | null;
      commercialUse: 'allowed' | 'barred' | 'unknown';
      id: string;
    }>;
    version: number;
    takenDown: string | null;
    createdAt: string;
    changedAt: string;
  };
  LogLine: {
    id: string;
    time: string;
    level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
    part: string;
    source: string;
    machineId: string | null;
    msg: string;
    fields: Record<string, unknown>;
  };
  LoopPackage: {
    id: string;
    agentId: string;
    name: string;
    contentHash: string;
    agentHash: string;
    keyId: string;
    memories: number;
    reflections: number;
    bytes: number;
    madeAt: string;
  };
  LoopPackageInFull: {
    id: string;
    agentId: string;
    name: string;
    contentHash: string;
    agentHash: string;
    keyId: string;
    memories: number;
    reflections: number;
    bytes: number;
    madeAt: string;
    manifest: Schemas['LoopManifest'];
  };
  LoopPreview: {
    dryRun: true;
    packageId: string | null;
    manifest: {
      agentId: string;
      name: string;
      memories: number;
      reflections: number;
      needs: {
        archetype: string;
        cadence: string;
        model: string;
        leastClass: '8g' | '12g' | '16g' | '24g' | '32g' | '48g' | '80g' | '141g';
        mayDegrade: boolean;
        expectedTokens: number;
        importanceThreshold: number;
      };
      models: Array<{
        license: string | null;
        commercialUse: 'allowed' | 'barred' | 'unknown';
        id: string;
      }>;
      madeFrom?: {
        contentHash: string;
        keyId: string;
      };
      members: Array<{
        name: 'manifest.json' | 'signature.json' | 'persona.json' | 'prompts.json' | 'memories.ndjson';
        size: number;
        sha256: string;
      }>;
      format: 'soulfra-loop';
      version: 1;
      agentHash: string;
      contentHash: string;
    };
    goesIn: Array<{
      id: string;
      kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
      occurredAt: string;
      importance: number;
      text: string;
    }>;
    goesInCount: number;
    staysOut: Array<{
      id: string;
      kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
      occurredAt: string;
      importance: number;
      text: string;
      reason: 'forgotten' | 'superseded' | 'private_kind' | 'private_source' | 'unknown_source' | 'rests_on_private' | 'rests_on_superseded' | 'quotes_private' | 'not_chosen' | 'evidence_not_chosen' | 'same_again';
    }>;
    staysOutCount: number;
    reasons: Array<{
      reason: 'forgotten' | 'superseded' | 'private_kind' | 'private_source' | 'unknown_source' | 'rests_on_private' | 'rests_on_superseded' | 'quotes_private' | 'not_chosen' | 'evidence_not_chosen' | 'same_again';
      why: string;
      count: number;
    }>;
  };
  LoopInstall: {
    agentId: string;
    name: string;
    installed: boolean;
    memories: number;
    contentHash: string;
    agentHash: string;
    keyId: string;
    trusted: boolean;
    manifest: Schemas['LoopManifest'];
    dryRun?: true;
  };
  Mail: {
    id: string;
    template: 'sign_in' | 'invite' | 'receipt' | 'refund_notice' | 'dispute_notice' | 'guild_invite' | 'password_notice';
    templateVersion: number;
    userId: string | null;
    address: string | null;
    state: 'pending' | 'sending' | 'sent' | 'failed' | 'unconfirmed';
    reason: string;
    queuedAt: string;
    endedAt: string | null;
  };
  MailDetail: {
    id: string;
    template: 'sign_in' | 'invite' | 'receipt' | 'refund_notice' | 'dispute_notice' | 'guild_invite' | 'password_notice';
    templateVersion: number;
    userId: string | null;
    address: string | null;
    state: 'pending' | 'sending' | 'sent' | 'failed' | 'unconfirmed';
    reason: string;
    queuedAt: string;
    endedAt: string | null;
    attempts: Array<{
      attempt: number;
      beganAt: string;
      endedAt: string | null;
      outcome: 'accepted' | 'deferred' | 'refused' | 'not_sent' | 'unconfirmed' | null;
      answer: string;
    }>;
  };
  MemoryImport: {
    added: number;
    known: number;
    refused: number;
    errors: Array<{
      line: number;
      at?: string;
      code: 'INVALID_INPUT' | 'MALFORMED_BODY' | 'UNSUPPORTED_MEDIA_TYPE' | 'BODY_TOO_LARGE' | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'NOT_FOUND' | 'METHOD_NOT_ALLOWED' | 'CONFLICT' | 'RATE_LIMITED' | 'INTERNAL' | 'UNAVAILABLE' | 'CONFIG_INVALID' | 'CADENCE_TOO_FAST' | 'DATA_NEWER' | 'FENCED' | 'AGENT_RETIRED' | 'AGENT_DORMANT' | 'MACHINE_UNKNOWN' | 'TOKENS_SPENT' | 'MACHINE_YIELDED' | 'MODEL_SERVER_DOWN' | 'MODEL_OVERLOADED' | 'MODEL_STALLED' | 'MODEL_MISSING' | 'MODEL_UNVERIFIED' | 'MODEL_REFUSED' | 'MODEL_OUTPUT_INVALID' | 'ADDRESS_REFUSED' | 'REMOTE_FAILED' | 'EMBEDDINGS_FAILED' | 'BALANCE_TOO_LOW' | 'ADDRESS_NOT_VERIFIED' | 'BUDGET_EXCEEDED' | 'LISTING_REFUSED' | 'PRECONDITION_REQUIRED' | 'PRECONDITION_FAILED' | 'PAYMENT_REFUSED' | 'PAYMENT_PROVIDER_DOWN' | 'PAYMENT_UNKNOWN' | 'PAYMENTS_NOT_SET_UP' | 'LOOP_TAMPERED' | 'KEY_NOT_PINNED' | 'SIGNING_KEY_MISSING' | 'PAYLOAD_KEY_MISSING' | 'LICENSE_REFUSED' | 'BACKUP_DAMAGED' | 'BACKUP_KEY_WRONG' | 'DISK_FULL' | 'GUILD_FULL' | 'INVITE_ENDED' | 'INVITE_LIMIT' | 'WORK_LEASE_LOST' | 'SERVICE_TAKES_NO_WORK' | 'MODEL_UNKNOWN' | 'MODEL_UNSERVED' | 'CONTEXT_TOO_LONG' | 'PARAMETER_UNSUPPORTED' | 'GATEWAY_BUSY' | 'BODY_TOO_SLOW' | 'DEPLOY_BLOCKED' | 'MACHINE_INVITE_ENDED' | 'CERTIFICATE_REFUSED' | 'VERSION_DIFFERS' | 'CLOCK_OFF' | 'ANSWER_CUT';
      detail: string;
      mend: string;
      errors?: Array<{
        path: string;
        rule: string;
        mend: string;
      }>;
    }>;
    errorsLeftOut: number;
    notes: Array<{
      line: number;
      at?: string;
      path: string;
      rule: string;
      mend: string;
    }>;
    notesLeftOut: number;
    lost: Array<{
      field: string;
      count: number;
      reason: string;
    }>;
    dryRun?: true;
  };
  Memory: {
    id: string;
    agentId: string;
    seq: number;
    kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
    text: string;
    importance: number;
    source: string;
    externalKey: string;
    occurredAt: string;
    recordedAt: string;
    validTo: string | null;
    supersededBy: string | null;
    deletedAt: string | null;
    deletedReason: string | null;
    lastUsedAt: string | null;
  };
  Message: {
    id: string;
    agentId: string;
    conversationId: string;
    author: string;
    text: string;
    state: 'received' | 'answering' | 'answered' | 'failed' | 'canceled';
    reason: string;
    answer: string;
    source: 'model' | 'extractive' | null;
    citations: Array<{
      alias: string;
      memoryId: string;
      text: string;
      occurredAt: string;
    }>;
    wantedModelId: string;
    modelId: string;
    degraded: boolean;
    machineId: string | null;
    attempt: number;
    promptVersion: string | null;
    seed: number | null;
    tokens: number | null;
    seconds: number | null;
    saidMemoryId: string | null;
    replyMemoryId: string | null;
    whisper: {
      id: string;
      state: 'received' | 'awaiting_approval' | 'spawned' | 'refused' | 'expired';
      code: 'PARENT_RETIRED' | 'TOO_DEEP' | 'TOO_MANY_CHILDREN' | 'GROWING_TOO_FAST' | 'LINEAGE_RATE' | 'FLEET_RATE' | 'NO_MACHINE' | 'TOO_ALIKE' | 'NO_ROOM' | 'NOT_APPROVED' | 'APPROVAL_EXPIRED' | 'EGO_TOO_LOW' | 'NO_NAME' | 'CANCELED' | 'FAILED' | null;
      reason: string;
      agentId: string | null;
    } | null;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  Model: {
    id: string;
    family: string;
    queue: string;
    class: '8g' | '12g' | '16g' | '24g' | '32g' | '48g' | '80g' | '141g';
    fileGiB: number;
    vramGiB: number;
    smaller: string | null;
    license: string | null;
    digests: Record<string, Array<string>>;
    bytes: number | null;
    agents: number;
    machines: Array<{
      machineId: string;
      slots: number;
      idleSince: string | null;
      version: {
        state: 'verified' | 'behind' | 'unpinned' | 'refused' | 'unknown';
        digest: string | null;
        bytes: number | null;
        reason: string | null;
        saidSecondsAgo: number | null;
      };
    }>;
  };
  ModelOffer: {
    server: 'ollama';
    url: string;
    name: string;
    fileGiB: number;
    fleetModelId: string | null;
    modelId: string;
    tokensPerSecond: number;
    secondsPerAgent: number;
    basis: string;
  };
  Notice: {
    id: string;
    kind: 'machine_lost' | 'parked_work' | 'model_server_down' | 'gpu_differs' | 'source_failing' | 'source_secret_unreadable' | 'memory_limit' | 'tokens_spent' | 'consolidation_failing' | 'drift_failing' | 'weaving_failing' | 'embedding_failing' | 'embedding_model_failing' | 'clustering_failing' | 'whisper_waiting' | 'ledger_unbalanced' | 'readiness_critical' | 'dispute_open' | 'dispute_differs' | 'refund_failed' | 'refund_differs' | 'payment_beyond' | 'payment_differs' | 'payment_stuck' | 'payout_waiting' | 'payout_failing' | 'payout_refused' | 'payout_no_threshold' | 'payouts_held' | 'purchase_stuck' | 'listing_taken_down' | 'mail_failing' | 'mail_unconfirmed' | 'webhook_failing' | 'webhook_disabled' | 'guild_invite' | 'channel_stopped' | 'replies_stopped' | 'drop_schedule_paused' | 'delivery_failed' | 'delivery_unconfirmed' | 'drop_waiting' | 'agent_failing' | 'worker_failing' | 'schedule_failing' | 'disk_low' | 'service_down' | 'backup_old' | 'archive_late' | 'certificate_ending' | 'token_ending' | 'notify_failing' | 'heartbeat_failing' | 'work_unclaimed' | 'rollout_waiting' | 'rollout_held';
    severity: 'info' | 'warning' | 'critical';
    subject: string;
    title: string;
    detail: string;
    action: string;
    act: {
      say: string;
      command: string;
      call: {
        method: 'GET' | 'POST' | 'DELETE';
        path: string;
      };
    };
    otherwise: string;
    seen: number;
    openedAt: string;
  };
  Notification: {
    id: string;
    destination: string;
    kind: 'notices' | 'digest' | 'test';
    title: string;
    text: string;
    state: 'pending' | 'sending' | 'sent' | 'failed';
    reason: string;
    attempts: number;
    createdAt: string;
    endedAt: string | null;
  };
  Dispute: {
    id: string;
    purchaseId: string;
    provider: string;
    amount: number;
    currency: string;
    reserved: number;
    reason: string;
    state: 'open' | 'won' | 'lost';
    openedAt: string;
    endedAt: string | null;
  };
  Payout: {
    id: string;
    userId: string;
    provider: string;
    amount: number;
    currency: string;
    state: 'started' | 'paid' | 'failed';
    reference: string | null;
    reason: string;
    startedAt: string;
    endedAt: string | null;
  };
  PersonaImport: {
    agentId: string;
    born: boolean;
    format: 'eliza' | 'card-v1' | 'card-v2' | 'card-v3';
    name: string;
    persona: string;
    traits: Array<string>;
    memories: number;
    lost: Array<{
      field: string;
      kept: boolean;
      reason: string;
    }>;
    notes: Array<{
      path: string;
      rule: string;
      mend: string;
    }>;
    dryRun?: true;
  };
  StartedPurchase: {
    id: string;
    state: 'pending';
    listingId: string;
  };
  Refund: {
    id: string;
    purchaseId: string;
    payment: string;
    amount: number;
    currency: string;
    state: 'pending' | 'done' | 'failed';
    posted: number;
    revokedLicense: boolean;
    forced: boolean;
    reason: string;
    failure: string;
    madeAt: string;
    endedAt: string | null;
  };
  StartedRefund: {
    id: string;
    purchaseId: string;
    state: 'pending';
  };
  Reflection: {
    id: string;
    agentId: string;
    agentName: string;
    runId: string | null;
    ordinal: number;
    text: string;
    modelId: string;
    source: 'extractive' | 'model' | 'import';
    promptVersion: string;
    seed: number | null;
    depth: number;
    memoryId: string;
    degraded: boolean;
    machineId: string | null;
    tokens: number;
    seconds: number;
    memories: number;
    forgottenAt: string | null;
    createdAt: string;
  };
  ReflectionDetail: {
    id: string;
    agentId: string;
    agentName: string;
    runId: string | null;
    ordinal: number;
    text: string;
    modelId: string;
    source: 'extractive' | 'model' | 'import';
    promptVersion: string;
    seed: number | null;
    depth: number;
    memoryId: string;
    degraded: boolean;
    machineId: string | null;
    tokens: number;
    seconds: number;
    memories: number;
    forgottenAt: string | null;
    createdAt: string;
    evidence: Array<{
      memoryId: string;
      seq: number;
      text: string;
      depth: number;
      importance: number;
      occurredAt: string;
    }>;
  };
  ReflectionExplained: {
    id: string;
    agentId: string;
    agentName: string;
    runId: string | null;
    ordinal: number;
    text: string;
    modelId: string;
    source: 'extractive' | 'model' | 'import';
    promptVersion: string;
    seed: number | null;
    depth: number;
    memoryId: string;
    degraded: boolean;
    machineId: string | null;
    tokens: number;
    seconds: number;
    memories: number;
    forgottenAt: string | null;
    createdAt: string;
    evidence: Array<{
      memoryId: string;
      seq: number;
      text: string;
      depth: number;
      importance: number;
      occurredAt: string;
      alias: string | null;
      scored: {
        score: number;
        recency: number;
        importance: number;
        relevance: number;
      } | null;
    }>;
    call: {
      step: string;
      modelId: string;
      machineId: string;
      promptVersion: string;
      seed: number | null;
      modelCalls: number;
      tokens: number;
      promptTokens: number | null;
      seconds: number;
      question: string | null;
      shown: Array<{
        memoryId: string;
        until?: string;
        scored?: {
          score: number;
          recency: number;
          importance: number;
          relevance: number;
        };
      }>;
    } | null;
    prompt: {
      messages: Array<{
        role: 'system' | 'user' | 'assistant';
        content: string;
      }>;
      exact: boolean;
    } | null;
    note: string;
  };
  Run: {
    id: string;
    agentId: string;
    sweepId: string | null;
    workflowId: string;
    attempt: number;
    trigger: 'schedule' | 'call' | 'importance';
    period: string;
    state: 'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled';
    reason: string;
    wantedModelId: string;
    modelId: string;
    queue: string;
    degraded: boolean;
    machineId: string | null;
    expectedTokens: number;
    tokens: number | null;
    promptTokens: number | null;
    modelCalls: number;
    reflections: number;
    dropped: {
      duplicates: number;
      empty: number;
      withoutEvidence: number;
      tooDeep: number;
      other: number;
      evidence: number;
    };
    moves: number;
    progress: {
      stage: 'waiting' | 'parked' | 'reading' | 'drawing' | 'storing';
      done: number;
      of: number | null;
    } | null;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  RunWhy: {
    id: string;
    state: 'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled';
    why: string;
    waitsFor: string | null;
    facts: Array<string>;
    links: {
      temporal: string | null;
    };
  };
  Schedule: {
    id: string;
    cadence: string | null;
    everySeconds: number | null;
    paused: boolean;
    note: string;
    nextRunAt: string | null;
    lastRunAt: string | null;
  };
  SourceSecret: {
    id: string;
    createdAt: string;
    lastUsedAt: string | null;
    revokedAt: string | null;
  };
  SigningKey: {
    keyId: string;
    issuer: string;
    algorithm: 'Ed25519';
    publicKey: string;
    state: 'next' | 'signing' | 'retired' | 'revoked';
    madeAt: string;
    signsSince: string | null;
    retiredAt: string | null;
    revokedAt: string | null;
  };
  ListedRollout: {
    id: string;
    state: 'running' | 'paused' | 'held' | 'rolling_back' | 'done' | 'rolled_back';
    reason: string;
    packages: number;
    over: number;
    createdAt: string;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
  };
  Rollout: {
    id: string;
    state: 'running' | 'paused' | 'held' | 'rolling_back' | 'done' | 'rolled_back';
    reason: string;
    packages: Array<{
      id: string;
      title: string;
      dependsOn: Array<string>;
      state: 'waiting' | 'running' | 'verifying' | 'done' | 'undoing' | 'failed' | 'undone' | 'stuck' | 'skipped';
      reason: string;
      attempt: number;
      wellSince: string | null;
      steps: Array<{
        attempt: number;
        phase: 'steps' | 'undo';
        position: number;
        machineId: string | null;
        kind: string;
        state: 'running' | 'waiting' | 'done' | 'failed' | 'doubtful';
        reason: string;
        result: Record<string, unknown> | null;
        beganAt: string;
        endedAt: string | null;
      }>;
    }>;
    over: number;
    createdAt: string;
    endedAt: string | null;
    links: {
      temporal: string | null;
    };
    waves: Array<Array<string>>;
    criticalPath: {
      packages: Array<string>;
      minutes: number;
    };
    overlaps: Array<{
      field: string;
      packages: Array<string>;
      ordered: boolean;
    }>;
  };
  AskedServices: {
    dryRun?: true;
    requestId: string | null;
    workflowId: string | null;
    waves: Array<Array<{
      id: string;
      action: 'start' | 'stop' | 'restart';
      machineId: string | null;
    }>>;
  };
  ListedService: {
    id: string;
    kind: 'process' | 'container' | 'pod' | 'unit';
    state: 'unknown' | 'starting' | 'up' | 'down' | 'stopped';
    reason: string;
    machineId: string | null;
    why: string;
    wantedMachine: string | null;
    required: boolean;
    needsGpu: boolean;
    vramGiB: number | null;
    ports: Array<{
      name: string;
      port: number;
      protocol?: 'tcp' | 'udp';
      address?: string;
      containerPort?: number;
      derived?: string;
    }>;
    address: string | null;
    run: {
      wanted: 'running' | 'stopped';
      state: 'waiting' | 'starting' | 'started' | 'stopping' | 'stopped' | 'failed';
      reason: string;
      machineId: string | null;
      requestId: string;
    } | null;
    changedAt: string;
    retiredAt: string | null;
  };
  Service: {
    id: string;
    kind: 'process' | 'container' | 'pod' | 'unit';
    state: 'unknown' | 'starting' | 'up' | 'down' | 'stopped';
    reason: string;
    machineId: string | null;
    why: string;
    wantedMachine: string | null;
    required: boolean;
    needsGpu: boolean;
    vramGiB: number | null;
    ports: Array<{
      name: string;
      port: number;
      protocol?: 'tcp' | 'udp';
      address?: string;
      containerPort?: number;
      derived?: string;
    }>;
    address: string | null;
    run: {
      wanted: 'running' | 'stopped';
      state: 'waiting' | 'starting' | 'started' | 'stopping' | 'stopped' | 'failed';
      reason: string;
      machineId: string | null;
      requestId: string;
    } | null;
    changedAt: string;
    retiredAt: string | null;
    spec: {
      id: string;
      machine?: string;
      kind: 'process' | 'container' | 'pod' | 'unit';
      command?: Array<string>;
      image?: string;
      workingDirectory?: string;
      ports: Array<{
        name: string;
        port: number;
        protocol?: 'tcp' | 'udp';
        address?: string;
        containerPort?: number;
        derived?: string;
      }>;
      healthCheck?: {
        kind: 'http';
        port: number;
        path: string;
      } | {
        kind: 'tcp';
        port: number;
      } | {
        kind: 'zeromq';
        port: number;
        request: string;
      } | {
        kind: 'command';
        command: Array<string>;
      };
      dependsOn: Array<string>;
      required: boolean;
      joins?: 'work' | 'native';
      gpu?: {
        vramGiB?: number;
        because: Array<string>;
      };
      models: Array<{
        model: string;
        tokensPerDay: number;
      }>;
      source: string;
      alsoIn?: Array<string>;
      unresolved?: Array<string>;
    };
    dependants: Array<string>;
  };
  Source: {
    id: string;
    kind: string;
    state: 'waiting' | 'ok' | 'failing';
    from: string;
    agents: 'all' | Array<string>;
    every: string | null;
    importance: number;
    nextPollAt: string | null;
    lastOkAt: string | null;
    failures: number;
    lastError: string;
    lastErrorAt: string | null;
    note: string;
    items: number;
    pending: number;
  };
  SourceItem: {
    id: string;
    title: string;
    url: string | null;
    version: number;
    occurredAt: string;
    receivedAt: string;
    deliveredAt: string | null;
    agents: number;
    forgotten: boolean;
  };
  TokenBudget: {
    scope: 'agent' | 'archetype' | 'service';
    subject: string;
    tokens: number;
    budget: number | null;
  };
  Sweep: {
    id: string;
    workflowId: string;
    links: {
      temporal: string | null;
    };
    trigger: 'schedule' | 'call';
    cadence: string | null;
    period: string;
    state: 'running' | 'done' | 'canceled';
    startedAt: string;
    endedAt: string | null;
  };
  SweepDetail: {
    id: string;
    workflowId: string;
    links: {
      temporal: string | null;
    };
    trigger: 'schedule' | 'call';
    cadence: string | null;
    period: string;
    state: 'running' | 'done' | 'canceled';
    startedAt: string;
    endedAt: string | null;
    total: number;
    counts: Record<'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled', number>;
    reflected: number;
    degraded: number;
    moved: number;
    byMachine: Record<string, number>;
    runningByMachine: Record<string, number>;
    seconds: number;
    coordinationShare?: Record<string, number>;
  };
  Thread: {
    id: string;
    kind: 'same_event' | 'echo' | 'contradiction';
    state: 'live' | 'ended';
    endedBy: 'quiet' | 'merged' | 'emptied' | null;
    title: string | null;
    score: number;
    memories: number;
    agents: number;
    parentId: string | null;
    mergedInto: string | null;
    firstAt: string | null;
    lastAt: string | null;
    openedAt: string;
    endedAt: string | null;
  };
  ThreadDetail: {
    id: string;
    kind: 'same_event' | 'echo' | 'contradiction';
    state: 'live' | 'ended';
    endedBy: 'quiet' | 'merged' | 'emptied' | null;
    title: string | null;
    score: number;
    memories: number;
    agents: number;
    parentId: string | null;
    mergedInto: string | null;
    firstAt: string | null;
    lastAt: string | null;
    openedAt: string;
    endedAt: string | null;
    members: Array<{
      memoryId: string;
      agentId: string;
      agentName: string;
      kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
      text: string;
      importance: number;
      occurredAt: string;
      score: number;
    }>;
    links: Array<{
      memoryId: string;
      otherId: string;
      score: number;
      cosine: number;
      overlap: number;
      hours: number;
      opposition: {
        by: string;
        one: string;
        other: string;
      } | null;
    }>;
  };
  User: {
    id: string;
    name: string;
    role: 'operator' | 'creator' | 'member' | 'reader';
    address: string | null;
    state: 'invited' | 'active' | 'deleted';
    createdAt: string;
    verifiedAt: string | null;
    deletedAt: string | null;
  };
  Vote: {
    ballotId: string;
    voterId: string;
    choice: number | Array<number> | Record<string, number> | null;
    reason: string;
    weight: number;
    given: number;
    changedAt: string;
  };
  Webhook: {
    id: string;
    url: string;
    types: Array<'order.paid' | 'order.refunded' | 'order.disputed' | 'license.revoked'>;
    state: 'active' | 'disabled';
    reason: string;
    secrets: Array<string>;
    createdAt: string;
  };
  WebhookDelivery: {
    id: string;
    eventId: string;
    type: string;
    state: 'pending' | 'sending' | 'delivered' | 'failed';
    attempts: number;
    status: number | null;
    reason: string;
    createdAt: string;
    endedAt: string | null;
  };
  Whisper: {
    id: string;
    source: 'api' | 'reply' | 'guild' | 'source' | 'cluster';
    parentId: string;
    lineageId: string;
    text: string;
    state: 'received' | 'awaiting_approval' | 'spawned' | 'refused' | 'expired';
    code: 'PARENT_RETIRED' | 'TOO_DEEP' | 'TOO_MANY_CHILDREN' | 'GROWING_TOO_FAST' | 'LINEAGE_RATE' | 'FLEET_RATE' | 'NO_MACHINE' | 'TOO_ALIKE' | 'NO_ROOM' | 'NOT_APPROVED' | 'APPROVAL_EXPIRED' | 'EGO_TOO_LOW' | 'NO_NAME' | 'CANCELED' | 'FAILED' | null;
    reason: string;
    retryOf: string | null;
    requestedBy: string;
    agentId: string | null;
    name: string | null;
    draft: number;
    personaSource: 'model' | 'extractive' | null;
    modelId: string | null;
    promptVersion: string | null;
    nearestId: string | null;
    nearestCosine: number | null;
    receivedAt: string;
    deadline: string | null;
    endedAt: string | null;
  };
  WorkClaim: {
    token: string;
    input: unknown;
    leaseSeconds: number;
    workId: string;
    attempt: number;
  };
  WorkAnswered: {
    workId: string;
    attempt: number;
    state: 'queued' | 'running' | 'completed' | 'failed' | 'expired' | 'canceled';
  };
  Work: {
    id: string;
    service: string;
    queue: string;
    joins: 'work' | 'native';
    submittedBy: string | null;
    state: 'queued' | 'running' | 'completed' | 'failed' | 'expired' | 'canceled';
    reason: string;
    priority: number;
    attempt: number;
    attempts: number;
    leaseSeconds: number;
    deadline: string;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
  };
  WorkDetail: {
    id: string;
    service: string;
    queue: string;
    joins: 'work' | 'native';
    submittedBy: string | null;
    state: 'queued' | 'running' | 'completed' | 'failed' | 'expired' | 'canceled';
    reason: string;
    priority: number;
    attempt: number;
    attempts: number;
    leaseSeconds: number;
    deadline: string;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
    input: unknown;
    result: unknown;
    claims: Array<{
      attempt: number;
      claimedAt: string;
      beatAt: string;
      outcome: 'completed' | 'failed' | 'lost' | 'expired' | 'canceled' | null;
      reason: string;
      endedAt: string | null;
    }>;
    links: {
      temporal: string | null;
    };
  };
  Standing: {
    ballotId: string;
    isFinal: boolean;
    tally: Schemas['Tally'];
  };
  InvitePreview: {
    guild: string;
    inviter: string;
    expiresAt: string | null;
  };
  JoinedByMail: {
    inviteId: string;
    guildId: string;
    memberId: string;
    role: string;
    isNewUser: boolean;
    token?: string;
  };
  PaymentProviders: {
    items: Array<{
      id: 'stripe';
    }>;
  };
}

export interface Operations {
  'GET /v1/health/live': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      state: 'live';
    };
  };
  'GET /v1/health/ready': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      state: 'ready' | 'degraded' | 'unavailable';
      parts: {
        postgres: {
          state: 'up' | 'down';
          ms: number;
          reason?: string;
        };
        temporal: {
          state: 'up' | 'down';
          ms: number;
          reason?: string;
        };
        redis: {
          state: 'up' | 'down';
          ms: number;
          reason?: string;
        };
      };
    };
  };
  'GET /v1/token-budgets': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['TokenBudget']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/health': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      kind?: 'agent' | 'machine' | 'worker' | 'model_server' | 'schedule' | 'channel' | 'ledger' | 'disk' | 'backup' | 'certificate' | 'service' | 'token' | 'mirror' | 'archive' | undefined;
      state?: 'lost' | 'failing' | 'late' | 'not_set_up' | 'ok' | undefined;
      atLeast?: 'late' | 'failing' | 'lost' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Health']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/health/changes': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      kind?: 'agent' | 'machine' | 'worker' | 'model_server' | 'schedule' | 'channel' | 'ledger' | 'disk' | 'backup' | 'certificate' | 'service' | 'token' | 'mirror' | 'archive' | undefined;
      id?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['HealthChange']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/health/summary': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['HealthSummary'];
  };
  'GET /v1/doctor': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      app: string;
      node: string;
      checks: Array<Schemas['Check']>;
    };
  };
  'POST /v1/sessions': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      once: string;
      as?: 'cookie' | 'token' | undefined;
    };
    answer: {
      role: 'operator' | 'creator' | 'member' | 'reader';
      token?: string;
    } | Schemas['DryRun'];
  };
  'DELETE /v1/sessions': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'GET /v1/me': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      userId: string;
      name: string;
      role: 'operator' | 'creator' | 'member' | 'reader';
      tokenId: string;
      scopes: Array<string> | null;
    };
  };
  'DELETE /v1/me': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'GET /v1/tokens': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      signedIn?: 'true' | 'false' | undefined;
      live?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<{
        id: string;
        kind: 'bearer' | 'once' | 'session';
        role: 'operator' | 'creator' | 'member' | 'reader';
        name: string;
        createdAt: string;
        expiresAt: string | null;
        usedAt: string | null;
        revokedAt: string | null;
        service: string | null;
        scopes: Array<string> | null;
        signedIn: boolean;
      }>;
      nextCursor: string | null;
    };
  };
  'POST /v1/tokens': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      kind?: 'bearer' | 'once' | undefined;
      role?: 'operator' | 'creator' | 'member' | 'reader' | undefined;
      service?: string | undefined;
      name?: string | undefined;
      expiresInDays?: number | null | undefined;
      scopes?: Array<string> | undefined;
    };
    answer: Schemas['DryRun'] | {
      id: string;
      token: string;
      kind: 'bearer' | 'once';
      role: 'operator' | 'creator' | 'member' | 'reader';
      service?: string;
      scopes?: Array<string>;
      expiresAt: string | null;
    };
  };
  'DELETE /v1/me/sessions': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      ended: number;
    };
  };
  'DELETE /v1/tokens/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'POST /v1/sign-ins': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      address: string;
      password: string;
      as?: 'cookie' | 'token' | undefined;
    };
    answer: {
      role: 'operator' | 'creator' | 'member' | 'reader';
      token?: string;
    } | Schemas['DryRun'];
  };
  'PUT /v1/me/password': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      password: string;
      current?: string | undefined;
    };
    answer: Schemas['DryRun'] | {
      ended: number;
    };
  };
  'DELETE /v1/me/password': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      ended: number;
    };
  };
  'POST /v1/sign-ups': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      address: string;
    };
    answer: Schemas['DryRun'] | {
      accepted: true;
    };
  };
  'GET /v1/users': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['User']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/users': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      address: string;
      role?: 'creator' | 'member' | 'reader' | undefined;
      name?: string | undefined;
    };
    answer: Schemas['DryRun'] | {
      id: string;
      role: 'operator' | 'creator' | 'member' | 'reader';
      address: string | null;
    };
  };
  'PATCH /v1/users/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      role: 'creator' | 'member' | 'reader';
    };
    answer: Schemas['User'] | Schemas['DryRun'];
  };
  'DELETE /v1/users/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'GET /v1/alerts': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['Alerts'];
  };
  'GET /v1/audit': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      actor?: string | undefined;
      subject?: string | undefined;
      outcome?: 'done' | 'refused' | 'failed' | 'unknown' | undefined;
      since?: string | undefined;
      until?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['AuditEntry']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/mails': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'pending' | 'sending' | 'sent' | 'failed' | 'unconfirmed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Mail']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/mails/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['MailDetail'];
  };
  'POST /v1/mails/{id}/resend': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | Schemas['Mail'];
  };
  'GET /v1/fleet': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['Fleet'];
  };
  'GET /v1/fleet/plan': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['Plan'];
  };
  'GET /v1/fleet/versions': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['FleetVersion']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/fleet/export': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: string;
  };
  'GET /v1/fleet/files': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['FleetFiles'];
  };
  'GET /v1/fleet/map': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['FleetMap'];
  };
  'POST /v1/fleet/apply': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      source: string;
      serviceFiles?: Array<{
        name: string;
        source: string;
      }> | undefined;
    };
    answer: Schemas['AppliedFleet'];
  };
  'POST /v1/fleet/undo': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['AppliedFleet'];
  };
  'POST /v1/fleet/simulate': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      lose?: Array<string> | undefined;
      add?: Array<string> | undefined;
    };
    answer: Schemas['Simulation'];
  };
  'GET /v1/machines': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Machine']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/machines': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      id: string;
      gpu?: string | undefined;
      modelServer: string;
      kind?: 'ollama' | 'vllm' | 'llamacpp' | 'openai' | undefined;
      sequences?: number | undefined;
    };
    answer: Schemas['AppliedFleet'];
  };
  'GET /v1/machines/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Machine'];
  };
  'POST /v1/machines/{id}/drain': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Machine'] | Schemas['DryRun'] | Schemas['Machine'];
  };
  'POST /v1/machines/{id}/undrain': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Machine'] | Schemas['DryRun'] | Schemas['Machine'];
  };
  'POST /v1/machines/{id}/kill': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Machine'] | Schemas['DryRun'];
  };
  'POST /v1/machines/{id}/start': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Machine'] | Schemas['DryRun'];
  };
  'GET /v1/models': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Model']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/models/offers': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      machineId: string;
      items: Array<Schemas['ModelOffer']>;
    };
  };
  'POST /v1/models/sync': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      models?: Array<string> | undefined;
    };
    answer: Schemas['DryRun'] | {
      workflowId: string;
      started: boolean;
    };
  };
  'GET /v1/models/sync': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      running: boolean;
      steps: Array<{
        machineId: string;
        modelId: string;
        outcome: 'brought' | 'unchanged' | 'returned' | 'refused' | 'failed' | 'unreachable' | 'skipped';
        reason: string;
      }> | null;
    };
  };
  'POST /v1/models/use': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      server: 'ollama';
      agents: number;
      model?: string | undefined;
    };
    answer: {
      changes: Array<Schemas['FleetChange']>;
      version: number | null;
      planVersion: number | null;
      dryRun?: true;
      servicesKept?: number;
      plan?: {
        before: Schemas['PlanSummary'] | null;
        after: Schemas['PlanSummary'];
      };
      machineId: string;
      offer: Schemas['ModelOffer'];
      worker: 'runs' | 'started' | 'start by hand';
    };
  };
  'GET /v1/agents': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'active' | 'parked' | 'dormant' | 'retired' | undefined;
      archetype?: string | undefined;
      origin?: 'fleet' | 'spawn' | 'import' | undefined;
      lineageId?: string | undefined;
      machineId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Agent']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/agents/{id}': {
    path: {
      id: string;
    };
    query: {
      include?: 'file' | undefined;
    };
    body: undefined;
    answer: Schemas['AgentDetail'];
  };
  'GET /v1/agents/{id}/ego': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['EgoEntry']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/agents/{id}/pause': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      paused: boolean;
    } | Schemas['DryRun'];
  };
  'POST /v1/agents/{id}/resume': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      paused: boolean;
    } | Schemas['DryRun'];
  };
  'POST /v1/agents/{id}/trigger': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      runId: string | null;
      started: boolean;
    };
  };
  'GET /v1/agents/{id}/budgets': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['AgentBudget']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/agents/{id}/budgets': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      amount: number;
      currency: string;
    };
    answer: Schemas['AgentBudget'] | Schemas['DryRun'];
  };
  'GET /v1/agents/{id}/export': {
    path: {
      id: string;
    };
    query: {
      format: 'eliza' | 'card-v2' | 'card-v3' | 'card-png';
    };
    body: undefined;
    answer: Record<string, unknown>;
  };
  'GET /v1/lineages': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      agentId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LineageMember']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/agents/{id}/retire': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      ego: number;
      egoTo: string | null;
    } | Schemas['DryRun'];
  };
  'POST /v1/agents/{id}/revive': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      ego: number;
      egoFrom: string | null;
    } | Schemas['DryRun'];
  };
  'POST /v1/whispers': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      parentId: string;
      text: string;
      retryOf?: string | undefined;
    };
    answer: Schemas['Whisper'] | Schemas['DryRun'] | Schemas['Whisper'];
  };
  'GET /v1/whispers': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'received' | 'awaiting_approval' | 'spawned' | 'refused' | 'expired' | undefined;
      parentId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Whisper']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/whispers/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Whisper'];
  };
  'POST /v1/whispers/{id}/approve': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Whisper'] | Schemas['DryRun'] | Schemas['Whisper'];
  };
  'POST /v1/whispers/{id}/refuse': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
    } | null | undefined;
    answer: Schemas['Whisper'] | Schemas['DryRun'] | Schemas['Whisper'];
  };
  'GET /v1/agents/{id}/memories': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      at?: string | undefined;
      knownAt?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Memory']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/agents/{id}/memories': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      text: string;
      kind?: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale' | undefined;
      importance?: number | undefined;
      source?: string | undefined;
      occurredAt?: string | undefined;
      externalKey?: string | undefined;
    };
    answer: Schemas['Memory'] | Schemas['DryRun'] | Schemas['Memory'];
  };
  'GET /v1/memories/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Memory'];
  };
  'DELETE /v1/memories/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
      reason: string;
    };
    body: undefined;
    answer: Schemas['Memory'] | Schemas['DryRun'];
  };
  'GET /v1/agents/{id}/memories/search': {
    path: {
      id: string;
    };
    query: {
      q: string;
      limit?: number | undefined;
      at?: string | undefined;
      knownAt?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<{
        id: string;
        agentId: string;
        seq: number;
        kind: 'observation' | 'reflection' | 'whisper' | 'conversation' | 'reply' | 'drop' | 'vote' | 'sale';
        text: string;
        importance: number;
        source: string;
        occurredAt: string;
        validTo: string | null;
        score: number;
        parts: {
          recency: number;
          importance: number;
          relevance: number;
        };
      }>;
      scored: number;
      unembedded: number;
      model: string | null;
    };
  };
  'POST /v1/memories/{id}/supersede': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      text: string;
      importance?: number | undefined;
      source?: string | undefined;
      occurredAt?: string | undefined;
      externalKey?: string | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['Memory'];
  };
  'POST /v1/memories/{id}/forget': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
      dependents?: 'keep' | 'forget' | undefined;
    };
    answer: {
      id: string;
      reflections: Array<string>;
      forgotten: Array<string>;
      copies: Array<string>;
      messages: Array<string>;
      packages: Array<string>;
    } | Schemas['DryRun'];
  };
  'GET /v1/agents/{id}/memories/export': {
    path: {
      id: string;
    };
    query: {
      format?: 'ndjson' | 'generative-agents' | undefined;
    };
    body: undefined;
    answer: Record<string, unknown>;
  };
  'POST /v1/agents/{id}/loops': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      memories?: boolean | undefined;
      kinds?: Array<'observation' | 'reflection' | 'drop'> | undefined;
      since?: string | undefined;
      leastImportance?: number | undefined;
      personaQuotes?: boolean | undefined;
    };
    answer: Schemas['LoopPackageInFull'] | Schemas['LoopPreview'] | Schemas['LoopPackageInFull'];
  };
  'GET /v1/loops': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      agentId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LoopPackage']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/loops': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
      as?: string | undefined;
      name?: string | undefined;
      archetype?: string | undefined;
      trustKey?: string | undefined;
      trustUnknown?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: Schemas['LoopInstall'];
  };
  'GET /v1/loops/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['LoopPackageInFull'];
  };
  'GET /v1/loops/{id}/archive': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: string;
  };
  'POST /v1/agents/{id}/messages': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      text: string;
      conversationId?: string | undefined;
      author?: string | undefined;
      whisper?: boolean | undefined;
    };
    answer: Schemas['Message'] | Schemas['DryRun'] | Schemas['Message'];
  };
  'GET /v1/agents/{id}/messages': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      conversationId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Message']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/messages/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Message'];
  };
  'GET /v1/messages/{id}/events': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: string;
  };
  'POST /v1/messages/{id}/cancel': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | Schemas['Message'];
  };
  'POST /openai/v1/chat/completions': {
    path: undefined;
    query: undefined;
    body: Schemas['ChatCompletionRequestInput'];
    answer: {
      object: 'chat.completion';
    };
  };
  'POST /openai/v1/embeddings': {
    path: undefined;
    query: undefined;
    body: Schemas['EmbeddingRequestInput'];
    answer: {
      object: 'list';
      model: string;
      data: Array<{
        object: 'embedding';
        index: number;
        embedding: Array<number> | string;
      }>;
      usage: {
        prompt_tokens: number;
        total_tokens: number;
      };
    };
  };
  'GET /openai/v1/models': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      object: 'list';
      data: Array<{
        id: string;
        object: 'model';
        created: number;
        owned_by: string;
      }>;
    };
  };
  'GET /openai/v1/models/{model}': {
    path: {
      model: string;
    };
    query: undefined;
    body: undefined;
    answer: {
      id: string;
      object: 'model';
      created: number;
      owned_by: string;
    };
  };
  'GET /v1/reflections': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      agentId?: string | undefined;
      runId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Reflection']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/reflections/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['ReflectionDetail'];
  };
  'GET /v1/reflections/{id}/explain': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['ReflectionExplained'];
  };
  'GET /v1/drift': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'calm' | 'drifting' | 'estranged' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['AgentDrift']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/agents/{id}/drift': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['DriftRating']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/drift/rate': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      period: string;
      started: boolean;
    };
  };
  'GET /v1/clusters': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'living' | 'merged' | 'gone' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Cluster']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/cluster-runs': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['ClusterRun']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/clusters/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['ClusterDetail'];
  };
  'POST /v1/clusters/find': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      period: string;
      started: boolean;
    };
  };
  'GET /v1/globe': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['Globe'];
  };
  'POST /v1/globe/place': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      period: string;
      started: boolean;
    };
  };
  'POST /v1/ballots': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      title: string;
      text?: string | undefined;
      method?: 'single' | 'approval' | 'weighted' | 'quadratic' | 'ranked' | undefined;
      options?: Array<string> | undefined;
      effect?: {
        kind: 'none';
      } | {
        kind: 'spawn_approval';
        whisperId: string;
      } | {
        kind: 'blessing_share';
      } | {
        kind: 'drop_approval';
        dropId: string;
      } | {
        kind: 'guild_rule';
        rule: {
          name: 'seats';
          value: number;
        } | {
          name: 'invite';
          value: 'founder' | 'elder' | 'member';
        } | {
          name: 'expel';
          value: 'founder' | 'elder';
        } | {
          name: 'close';
          value: 'founder' | 'ballot';
        };
      } | {
        kind: 'guild_close';
      } | undefined;
      guildId?: string | undefined;
      as?: string | undefined;
      discussion?: string | undefined;
      vote?: string | undefined;
      extension?: string | undefined;
      quorum?: number | undefined;
      threshold?: number | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['Ballot'];
  };
  'GET /v1/ballots': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'discussion' | 'open' | 'passed' | 'rejected' | 'no_quorum' | 'carried_out' | 'effect_failed' | undefined;
      authorId?: string | undefined;
      guildId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Ballot']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/ballots/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Ballot'];
  };
  'POST /v1/ballots/{id}/withdraw': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Ballot'] | Schemas['DryRun'];
  };
  'GET /v1/ballots/{id}/tally': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Standing'];
  };
  'GET /v1/ballots/{id}/recount': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: {
      ballotId: string;
      equal: boolean;
      stored: Schemas['Tally'];
      counted: Schemas['Tally'];
    };
  };
  'PUT /v1/ballots/{id}/vote': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      as?: string | undefined;
      choice: number | Array<number> | Record<string, number> | null;
      reason?: string | undefined;
    };
    answer: Schemas['Vote'] | Schemas['DryRun'];
  };
  'GET /v1/ballots/{id}/votes': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      hasVoted?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Voter']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/ballots/{id}/remarks': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      as?: string | undefined;
      text: string;
    };
    answer: Schemas['DryRun'] | Schemas['Remark'];
  };
  'GET /v1/ballots/{id}/remarks': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Remark']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/guilds': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      name: string;
      purpose?: string | undefined;
      seats: number;
      as?: string | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['Guild'];
  };
  'GET /v1/guilds': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'open' | 'closed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Guild']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/guilds/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Guild'];
  };
  'GET /v1/guilds/{id}/members': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      role?: 'founder' | 'elder' | 'member' | 'guest' | undefined;
      past?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['GuildMember']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/guilds/{id}/events': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['GuildEvent']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/guilds/{id}/rename': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
      name: string;
    };
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/resize': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
      seats: number;
    };
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/leave': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
    } | null | undefined;
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/expel': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
      memberId: string;
    };
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/appoint': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
      memberId: string;
      role: 'elder' | 'member' | 'guest';
    };
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/transfer': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
      memberId: string;
    };
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/close': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
    } | null | undefined;
    answer: Schemas['Guild'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/guilds/{id}/invites': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      agentId?: string | undefined;
      userId?: string | undefined;
      address?: string | undefined;
      link?: {
        uses?: number | undefined;
      } | undefined;
      role?: 'elder' | 'member' | 'guest' | undefined;
      expiresIn?: string | 'never' | undefined;
      message?: string | undefined;
      reason?: string | undefined;
      as?: string | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['SentInvite'] | Schemas['StartedInvite'];
  };
  'GET /v1/guilds/{id}/invites': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'pending' | 'accepted' | 'declined' | 'revoked' | 'expired' | 'used_up' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Invite']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/invites': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'pending' | 'accepted' | 'declined' | 'revoked' | 'expired' | 'used_up' | undefined;
      box?: 'received' | 'sent' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Invite']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/invites/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Invite'];
  };
  'POST /v1/invites/{id}/revoke': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
    } | null | undefined;
    answer: Schemas['Invite'] | Schemas['DryRun'];
  };
  'POST /v1/invites/{id}/resend': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
      as?: string | undefined;
    } | null | undefined;
    answer: Schemas['SentInvite'] | Schemas['DryRun'];
  };
  'POST /v1/invites/{id}/accept': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
    } | null | undefined;
    answer: Schemas['AcceptedInvite'] | Schemas['DryRun'];
  };
  'POST /v1/invites/{id}/decline': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
    } | null | undefined;
    answer: {
      inviteId: string;
      state: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/invites/accept': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      token: string;
      reason?: string | undefined;
      as?: string | undefined;
    };
    answer: Schemas['AcceptedInvite'] | Schemas['DryRun'];
  };
  'POST /v1/invites/preview': {
    path: undefined;
    query: undefined;
    body: {
      token: string;
    };
    answer: Schemas['InvitePreview'];
  };
  'POST /v1/invites/join': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      token: string;
      session?: 'cookie' | 'token' | undefined;
    };
    answer: Schemas['JoinedByMail'] | Schemas['DryRun'];
  };
  'GET /v1/runs': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled' | undefined;
      agentId?: string | undefined;
      sweepId?: string | undefined;
      machineId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Run']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/runs/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Run'];
  };
  'GET /v1/runs/{id}/why': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['RunWhy'];
  };
  'POST /v1/runs/{id}/cancel': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | Schemas['Run'];
  };
  'POST /v1/runs/{id}/retry': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | Schemas['Run'];
  };
  'GET /v1/sweeps': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'running' | 'done' | 'canceled' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Sweep']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/sweeps': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      trigger?: 'call' | undefined;
      agents?: 'all' | undefined;
      cadence?: string | null | undefined;
    } | null | undefined;
    answer: Schemas['DryRun'] | {
      id: string;
      workflowId: string;
      started: boolean;
    };
  };
  'GET /v1/sweeps/{id}': {
    path: {
      id: string;
    };
    query: {
      include?: 'coordinationShare' | undefined;
    };
    body: undefined;
    answer: Schemas['SweepDetail'];
  };
  'POST /v1/sweeps/{id}/cancel': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | Schemas['SweepDetail'];
  };
  'GET /v1/services': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'unknown' | 'starting' | 'up' | 'down' | 'stopped' | undefined;
      machineId?: string | undefined;
      retired?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['ListedService']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/services/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Service'];
  };
  'POST /v1/rollouts': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      source: string;
    };
    answer: Schemas['DryRun'] | Schemas['Rollout'];
  };
  'GET /v1/rollouts': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['ListedRollout']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/rollouts/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Rollout'];
  };
  'POST /v1/rollouts/{id}/pause': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Rollout'] | Schemas['DryRun'];
  };
  'POST /v1/rollouts/{id}/resume': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Rollout'] | Schemas['DryRun'];
  };
  'POST /v1/rollouts/{id}/rollback': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Rollout'] | Schemas['DryRun'];
  };
  'POST /v1/rollouts/{id}/packages/{packageId}/skip': {
    path: {
      id: string;
      packageId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Rollout'] | Schemas['DryRun'];
  };
  'POST /v1/rollouts/{id}/packages/{packageId}/answer': {
    path: {
      id: string;
      packageId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      outcome: 'done' | 'failed' | 'again';
      reason?: string | undefined;
    };
    answer: Schemas['Rollout'] | Schemas['DryRun'];
  };
  'POST /v1/services/{id}/start': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['AskedServices'];
  };
  'POST /v1/services/start': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      services?: Array<string> | undefined;
    } | null | undefined;
    answer: Schemas['AskedServices'];
  };
  'POST /v1/services/{id}/stop': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['AskedServices'];
  };
  'POST /v1/services/stop': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      services?: Array<string> | undefined;
    } | null | undefined;
    answer: Schemas['AskedServices'];
  };
  'POST /v1/services/{id}/restart': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['AskedServices'];
  };
  'POST /v1/services/restart': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      services?: Array<string> | undefined;
    } | null | undefined;
    answer: Schemas['AskedServices'];
  };
  'GET /v1/sources': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Source']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/sources/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Source'];
  };
  'GET /v1/sources/{id}/items': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['SourceItem']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/sources/{id}/poll': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      id: string;
      workflowId: string;
      started: boolean;
    };
  };
  'GET /v1/threads': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      agentId?: string | undefined;
      memoryId?: string | undefined;
      kind?: 'same_event' | 'echo' | 'contradiction' | undefined;
      state?: 'live' | 'ended' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Thread']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/threads/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['ThreadDetail'];
  };
  'POST /v1/threads/weave': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      started: boolean;
      unwoven: number;
    };
  };
  'POST /v1/sources/{id}/secrets': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      id: string;
      secret: string;
    };
  };
  'GET /v1/sources/{id}/secrets': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['SourceSecret']>;
      nextCursor: string | null;
    };
  };
  'DELETE /v1/sources/{id}/secrets/{secretId}': {
    path: {
      id: string;
      secretId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'POST /v1/credits/grants': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      userId: string;
      amount: number;
      currency: string;
      reason: string;
    };
    answer: Schemas['DryRun'] | Schemas['CreditGrant'];
  };
  'GET /v1/ledger/accounts': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      kind?: 'outside' | 'credits' | 'escrow' | 'creator' | 'platform' | 'blessings' | 'tax' | 'fees' | 'disputes' | 'payouts' | undefined;
      currency?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LedgerAccount']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/ledger/transfers': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      kind?: 'grant' | 'hold' | 'release' | 'sale' | 'fee_taken' | 'fee_returned' | 'refund' | 'dispute_opened' | 'dispute_won' | 'dispute_lost' | 'beyond_taken' | 'beyond_returned' | 'beyond_covered' | 'payout_started' | 'payout_paid' | 'payout_failed' | 'blessings_shared' | undefined;
      purchaseId?: string | undefined;
      accountId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LedgerTransfer']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/ledger/transfers/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['LedgerTransferDetail'];
  };
  'GET /v1/ledger/reconciliations': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      period?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LedgerReconciliation']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/ledger/blessing-shares': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['BlessingShare']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/ledger/reconcile': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      period: string;
      started: boolean;
    };
  };
  'GET /v1/backups': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'running' | 'done' | 'failed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Backup']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/restore-drills': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['RestoreDrill']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/machine-invites': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      machineId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['MachineInvite']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/machine-invites': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      machineId: string;
      listen?: string | undefined;
      host?: string | undefined;
    };
    answer: Schemas['DryRun'] | {
      id: string;
      machineId: string;
      line: string;
      listens: string;
      expiresAt: string;
    };
  };
  'GET /v1/certificates': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      machineId?: string | undefined;
      kind?: 'authority' | 'server' | 'machine' | undefined;
      state?: 'living' | 'expired' | 'revoked' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Certificate']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/machines/{id}/revoke': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      invites: number;
      certificates: number;
    };
  };
  'GET /v1/mirror-runs': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      target?: 'folder' | 'postgres' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['MirrorRun']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/mirror-runs': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      workflowId: string;
      started: boolean;
    };
  };
  'GET /v1/readiness': {
    path: undefined;
    query: {
      format?: 'json' | 'markdown' | 'sarif' | undefined;
    };
    body: undefined;
    answer: Schemas['Readiness'];
  };
  'GET /v1/readiness/runs': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'running' | 'done' | 'failed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['ReadinessRun']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/readiness/runs': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      folder: string;
      machineId?: string | null | undefined;
      machineFiles?: Array<{
        machine: string;
        file: string;
      }> | undefined;
      portRules?: Array<{
        name: string;
        add: number;
      }> | undefined;
    };
    answer: Schemas['DryRun'] | {
      workflowId: string;
      runId: string;
      started: boolean;
    };
  };
  'POST /v1/readiness/stop-trials': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      service: string;
      commandSha256: string;
      ended: boolean;
      said: string;
      clean: boolean;
      seconds: number;
      left: Array<string>;
    };
    answer: Schemas['DryRun'] | {
      service: string;
    };
  };
  'POST /v1/readiness/acceptances': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      rule: 'package-cycle' | 'package-need-missing' | 'package-incomplete' | 'package-empty' | 'package-too-early' | 'package-without-undo' | 'machine-unknown' | 'machine-unnamed' | 'dependency-cycle' | 'dependency-out-of-reach' | 'gpu-where-none-is' | 'described-differently' | 'deprecated-copy' | 'only-in-old-copy' | 'variable-unset' | 'variable-unused' | 'dependency-missing' | 'script-missing' | 'port-unreadable' | 'module-unreachable' | 'module-duplicate' | 'import-unused' | 'import-cycle' | 'code-by-tool' | 'code-unread' | 'secret-in-file' | 'authentication-off' | 'certificate-unchecked' | 'plain-http' | 'store-exposed' | 'container-privileged' | 'secret-by-tool' | 'file-unread' | 'vram-exceeded' | 'gpu-without-size' | 'memory-unlimited' | 'disk-low' | 'live-unknown' | 'not-scraped' | 'metrics-nowhere' | 'output-discarded' | 'port-declared-clash' | 'port-derived-clash' | 'port-of-the-fleet' | 'port-taken' | 'port-ephemeral' | 'image-as-root' | 'image-unpinned' | 'health-check-missing' | 'restart-missing' | 'dockerfile-by-tool' | 'compose-by-schema' | 'store-without-volume' | 'store-without-backup' | 'volume-shared' | 'model-unpinned' | 'stop-not-graceful' | 'signals-kept-by-shell' | 'stop-ignored' | 'stop-fails' | 'stop-leaves-behind' | 'stop-untried' | 'runbook-missing' | 'tool-absent';
      fingerprint: string;
      until: string;
      by: string;
      reason: string;
    };
    answer: Schemas['DryRun'] | {
      id: string;
    };
  };
  'GET /v1/payouts': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      userId?: string | undefined;
      state?: 'started' | 'paid' | 'failed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Payout']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/payouts/{id}/paid': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reference: string;
    };
    answer: {
      id: string;
      state: 'started' | 'paid' | 'failed';
    } | Schemas['DryRun'];
  };
  'POST /v1/payouts/{id}/failed': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
    };
    answer: {
      id: string;
      state: 'started' | 'paid' | 'failed';
    } | Schemas['DryRun'];
  };
  'POST /v1/payouts/accounts': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      userId: string;
      provider: 'stripe';
      account: string | null;
    };
    answer: {
      userId: string;
      provider: string;
      account: string | null;
    } | Schemas['DryRun'];
  };
  'GET /v1/disputes': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      purchaseId?: string | undefined;
      state?: 'open' | 'won' | 'lost' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Dispute']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/listings/{id}/take-down': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
    };
    answer: {
      id: string;
      takenDown: string | null;
      changed: boolean;
    } | Schemas['DryRun'];
  };
  'POST /v1/listings/{id}/put-back': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      takenDown: string | null;
      changed: boolean;
    } | Schemas['DryRun'];
  };
  'GET /v1/signing-keys': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      issuer?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['SigningKey']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/signing-keys/next': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      publicKey?: string | undefined;
    } | null | undefined;
    answer: {
      keyId: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/signing-keys/rotate': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      retires: string | null;
    };
    answer: {
      keyId: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/signing-keys/{id}/revoke': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
    };
    answer: {
      keyId: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/secrets/reseal': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      from?: string | undefined;
    } | null | undefined;
    answer: Schemas['DryRun'] | {
      resealed: number;
      unreadable: Array<string>;
      next: string | null;
    };
  };
  'POST /v1/codec/decode': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
      preserveStorageRefs?: string | undefined;
    };
    body: {
      payloads: Array<{
        metadata?: Record<string, string> | undefined;
        data?: string | undefined;
      }>;
    };
    answer: Schemas['DryRun'] | {
      payloads: Array<{
        metadata?: Record<string, string>;
        data?: string;
      }>;
    };
  };
  'POST /v1/codec/encode': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
      preserveStorageRefs?: string | undefined;
    };
    body: {
      payloads: Array<{
        metadata?: Record<string, string> | undefined;
        data?: string | undefined;
      }>;
    };
    answer: Schemas['DryRun'] | {
      payloads: Array<{
        metadata?: Record<string, string>;
        data?: string;
      }>;
    };
  };
  'GET /v1/codec/keys': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: {
      encodes: boolean;
      keys: Array<{
        id: string;
        since: string | null;
        used: string | null;
        held: boolean;
        encodes: boolean;
      }>;
    };
  };
  'DELETE /v1/codec/keys/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
      anyway?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'GET /v1/license-kinds': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LicenseKind']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/licenses': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'pending' | 'active' | 'suspended' | 'revoked' | 'expired' | 'used_up' | undefined;
      kind?: string | undefined;
      packageHash?: string | undefined;
      as?: 'holder' | 'issuer' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['License']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/licenses': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      kind: string;
      packageHash: string;
      holder?: string | undefined;
      reason: string;
    };
    answer: Schemas['DryRun'] | Schemas['License'];
  };
  'GET /v1/licenses/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['License'];
  };
  'GET /v1/licenses/{id}/events': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<{
        id: string;
        change: 'issued' | 'activated' | 'suspended' | 'revoked' | 'reinstated' | 'extended' | 'transferred' | 'used_up' | 'expired';
        from: string | null;
        to: string;
        holder: string;
        actor: string;
        reason: string;
        data: Record<string, unknown>;
        at: string;
      }>;
      nextCursor: string | null;
    };
  };
  'GET /v1/licenses/{id}/activations': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<{
        activationId: string;
        place: string;
        seat: string;
        activatedAt: string;
      }>;
      nextCursor: string | null;
    };
  };
  'GET /v1/licenses/{id}/usage': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<{
        day: string;
        holder: string;
        redemptions: number;
        activations: number;
        files: number;
      }>;
      nextCursor: string | null;
    };
  };
  'POST /v1/licenses/{id}/check': {
    path: {
      id: string;
    };
    query: undefined;
    body: {
      purpose?: 'use' | 'redeem' | 'activate' | 'download' | 'transfer' | undefined;
      packageHash?: string | undefined;
      commercial?: boolean | undefined;
      activationId?: string | undefined;
      seat?: string | undefined;
    } | null | undefined;
    answer: Schemas['LicensePermission'];
  };
  'POST /v1/licenses/{id}/redeem': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      redemptionId: string;
    };
    answer: {
      code: 'VALID';
      redemptionId: string;
      use: number;
      redeemedAt: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/activate': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      activationId: string;
      place: string;
      seat?: string | undefined;
    };
    answer: {
      code: 'VALID' | 'IN_GRACE';
      activationId: string;
      place: string;
      seat: string;
      activatedAt: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/deactivate': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      activationId: string;
    };
    answer: {
      activationId: string;
      place: string;
      seat: string;
      activatedAt: string;
      endedAt: string;
    } | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/suspend': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
    };
    answer: Schemas['License'] | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/reinstate': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
    };
    answer: Schemas['License'] | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/revoke': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason: string;
    };
    answer: Schemas['License'] | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/extend': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      expiresAt?: string | undefined;
      uses?: number | undefined;
      reason: string;
    };
    answer: Schemas['License'] | Schemas['DryRun'];
  };
  'POST /v1/licenses/{id}/transfer': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      to: string;
      reason: string;
    };
    answer: Schemas['License'] | Schemas['DryRun'];
  };
  'GET /v1/licenses/{id}/file': {
    path: {
      id: string;
    };
    query: {
      ttlSeconds?: number | undefined;
      activationId?: string | undefined;
    };
    body: undefined;
    answer: string;
  };
  'GET /v1/revocations': {
    path: undefined;
    query: {
      issuer?: string | undefined;
    };
    body: undefined;
    answer: string;
  };
  'POST /v1/listings': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      title?: string | undefined;
      summary?: string | '' | undefined;
      price: Schemas['PriceInput'];
      termsVersion: string;
      kinds: Array<string>;
      creators?: Array<{
        userId: string;
        weight: number;
      }> | undefined;
      modelStatement?: string | '' | undefined;
      packageId: string;
    };
    answer: Schemas['DryRun'] | Schemas['Listing'];
  };
  'GET /v1/listings': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'draft' | 'listed' | 'paused' | 'retired' | undefined;
      mine?: 'true' | 'false' | undefined;
      contentHash?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Listing']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/listings/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Listing'];
  };
  'PATCH /v1/listings/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      title?: string | undefined;
      summary?: string | '' | undefined;
      price?: Schemas['PriceInput'] | undefined;
      termsVersion?: string | undefined;
      kinds?: Array<string> | undefined;
      creators?: Array<{
        userId: string;
        weight: number;
      }> | undefined;
      modelStatement?: string | '' | undefined;
    };
    answer: Schemas['Listing'] | Schemas['DryRun'];
  };
  'POST /v1/listings/{id}/list': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Listing'] | Schemas['DryRun'];
  };
  'POST /v1/listings/{id}/pause': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Listing'] | Schemas['DryRun'];
  };
  'POST /v1/listings/{id}/retire': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Listing'] | Schemas['DryRun'];
  };
  'POST /v1/purchases': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      listingId: string;
      kind: string;
      payment?: 'credits' | 'stripe' | undefined;
      price?: Schemas['PriceInput'] | undefined;
      buyerAgentId?: string | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['Purchase'] | Schemas['Purchase'] | Schemas['StartedPurchase'];
  };
  'GET /v1/purchases': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'pending' | 'authorized' | 'captured' | 'completed' | 'canceled' | 'failed' | undefined;
      listingId?: string | undefined;
      as?: 'buyer' | 'seller' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Purchase']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/payments/providers': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['PaymentProviders'];
  };
  'GET /v1/purchases/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Purchase'];
  };
  'POST /v1/purchases/{id}/cancel': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | Schemas['Purchase'];
  };
  'POST /v1/purchases/{id}/refunds': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      amount?: number | undefined;
      reason: string;
      force?: boolean | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['Refund'] | Schemas['Refund'] | Schemas['StartedRefund'];
  };
  'GET /v1/purchases/{id}/refunds': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Refund']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/refunds': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      purchaseId?: string | undefined;
      state?: 'pending' | 'done' | 'failed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Refund']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/refunds/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Refund'];
  };
  'POST /v1/licenses/{id}/download': {
    path: {
      id: string;
    };
    query: undefined;
    body: Record<string, never> | null | undefined;
    answer: Schemas['DownloadLink'];
  };
  'GET /v1/downloads/{token}': {
    path: {
      token: string;
    };
    query: undefined;
    body: undefined;
    answer: string;
  };
  'POST /v1/webhooks': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      url: string;
      types?: Array<'order.paid' | 'order.refunded' | 'order.disputed' | 'license.revoked'> | undefined;
    };
    answer: Schemas['DryRun'] | {
      id: string;
      url: string;
      types: Array<'order.paid' | 'order.refunded' | 'order.disputed' | 'license.revoked'>;
      state: 'active' | 'disabled';
      reason: string;
      secrets: Array<string>;
      createdAt: string;
      secretId: string;
      secret: string;
    };
  };
  'GET /v1/webhooks': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Webhook']>;
      nextCursor: string | null;
    };
  };
  'DELETE /v1/webhooks/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'POST /v1/webhooks/{id}/enable': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Webhook'] | Schemas['DryRun'];
  };
  'POST /v1/webhooks/{id}/secrets': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      secretId: string;
      secret: string;
    };
  };
  'DELETE /v1/webhooks/{id}/secrets/{secretId}': {
    path: {
      id: string;
      secretId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'GET /v1/webhooks/{id}/deliveries': {
    path: {
      id: string;
    };
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['WebhookDelivery']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/webhooks/{id}/deliveries/{deliveryId}/redeliver': {
    path: {
      id: string;
      deliveryId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      id: string;
      state: 'pending' | 'sending' | 'delivered' | 'failed';
    };
  };
  'POST /v1/channels': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      kind: 'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky';
      name: string;
      settings?: Record<string, unknown> | undefined;
      secrets?: Record<string, unknown> | undefined;
      allowExtractive?: boolean | undefined;
      allowDegraded?: boolean | undefined;
    };
    answer: Schemas['DryRun'] | {
      id: string;
      kind: 'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky';
      name: string;
      settings: Record<string, unknown>;
      stage: 'dry_run' | 'approval' | 'free';
      allowExtractive: boolean;
      allowDegraded: boolean;
      stoppedAt: string | null;
      stopReason: string;
      repliesStoppedAt: string | null;
      repliesStopReason: string;
      notBefore: string | null;
      createdAt: string;
      secrets?: Record<string, unknown>;
    };
  };
  'GET /v1/channels': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Channel']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/channels/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['Channel'];
  };
  'PATCH /v1/channels/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      allowExtractive?: boolean | undefined;
      allowDegraded?: boolean | undefined;
    };
    answer: Schemas['Channel'] | Schemas['DryRun'];
  };
  'DELETE /v1/channels/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'POST /v1/channels/{id}/stage': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      stage: 'dry_run' | 'approval' | 'free';
    };
    answer: Schemas['Channel'] | Schemas['DryRun'];
  };
  'POST /v1/channels/{id}/stop': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
    };
    answer: Schemas['Channel'] | Schemas['DryRun'];
  };
  'POST /v1/channels/{id}/resume': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Channel'] | Schemas['DryRun'];
  };
  'POST /v1/channels/{id}/secrets': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      secrets: Record<string, unknown>;
    };
    answer: Schemas['Channel'] | Schemas['DryRun'];
  };
  'POST /v1/drops': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      agentId?: string | null | undefined;
      channels: Array<string>;
      evidence?: Array<string> | undefined;
      title?: '' | string | undefined;
      body: string;
      bodies?: Partial<Record<'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky', string>> | undefined;
      narration?: '' | string | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['Drop'];
  };
  'GET /v1/drops': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'draft' | 'awaiting_approval' | 'scheduled' | 'publishing' | 'published' | 'partly_published' | 'failed' | 'canceled' | undefined;
      agentId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Drop']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/drops/preview': {
    path: undefined;
    query: undefined;
    body: {
      channels: Array<string>;
      title?: '' | string | undefined;
      body: string;
      bodies?: Partial<Record<'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky', string>> | undefined;
    };
    answer: {
      items: Array<Schemas['DropPreview']>;
    };
  };
  'GET /v1/drops/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['DropDetail'];
  };
  'PATCH /v1/drops/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      title?: '' | string | undefined;
      body?: string | undefined;
      bodies?: Partial<Record<'feed' | 'webhook' | 'discord_webhook' | 'discord_bot' | 'slack_webhook' | 'telegram' | 'mastodon' | 'bluesky', string>> | undefined;
      narration?: '' | string | undefined;
      channels?: Array<string> | undefined;
      publishAt?: string | undefined;
    };
    answer: Schemas['Drop'] | Schemas['DryRun'];
  };
  'DELETE /v1/drops/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Drop'] | Schemas['DryRun'];
  };
  'POST /v1/drops/{id}/publish': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      at?: string | undefined;
    };
    answer: Schemas['Drop'] | Schemas['DryRun'];
  };
  'POST /v1/drops/{id}/approve': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['Drop'] | Schemas['DryRun'];
  };
  'POST /v1/drops/{id}/reject': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: '' | string | undefined;
    };
    answer: Schemas['Drop'] | Schemas['DryRun'];
  };
  'POST /v1/drops/{id}/blessings': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      as?: string | undefined;
    } | null | undefined;
    answer: Schemas['Blessing'] | Schemas['DryRun'] | Schemas['Blessing'];
  };
  'GET /v1/deliveries': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      state?: 'pending' | 'sending' | 'published' | 'failed' | 'unconfirmed' | undefined;
      dropId?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Delivery']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/drops/{id}/deliveries/{deliveryId}/confirm': {
    path: {
      id: string;
      deliveryId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      url?: string | undefined;
    };
    answer: {
      id: string;
      state: 'pending' | 'sending' | 'published' | 'failed' | 'unconfirmed';
    } | Schemas['DryRun'];
  };
  'POST /v1/drops/{id}/deliveries/{deliveryId}/again': {
    path: {
      id: string;
      deliveryId: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | {
      id: string;
      state: 'pending' | 'sending' | 'published' | 'failed' | 'unconfirmed';
    };
  };
  'GET /v1/drops/stop': {
    path: undefined;
    query: undefined;
    body: undefined;
    answer: Schemas['DropStop'];
  };
  'POST /v1/drops/stop-all': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      reason?: string | undefined;
    };
    answer: Schemas['DropStop'] | Schemas['DryRun'];
  };
  'POST /v1/drops/resume-all': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DropStop'] | Schemas['DryRun'];
  };
  'POST /v1/drop-schedules': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      agentId?: string | undefined;
      clusterId?: string | undefined;
      guildId?: string | undefined;
      channels: Array<string>;
      when: Record<string, unknown>;
    };
    answer: Schemas['DryRun'] | Schemas['DropSchedule'];
  };
  'GET /v1/drop-schedules': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['DropSchedule']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/drop-schedules/{id}/pause': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DropSchedule'] | Schemas['DryRun'];
  };
  'POST /v1/drop-schedules/{id}/resume': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DropSchedule'] | Schemas['DryRun'];
  };
  'DELETE /v1/drop-schedules/{id}': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['DryRun'] | undefined;
  };
  'GET /v1/feeds/{id}/{format}': {
    path: {
      id: string;
      format: 'atom' | 'rss' | 'json';
    };
    query: undefined;
    body: undefined;
    answer: string;
  };
  'GET /v1/schedules': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Schedule']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/schedules/{id}/pause': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      note?: string | undefined;
    } | null | undefined;
    answer: {
      id: string;
      paused: boolean;
    } | Schemas['DryRun'];
  };
  'POST /v1/schedules/{id}/resume': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      paused: boolean;
    } | Schemas['DryRun'];
  };
  'POST /v1/schedules/{id}/trigger': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      paused: boolean;
    } | Schemas['DryRun'];
  };
  'GET /v1/events': {
    path: undefined;
    query: {
      after?: string | undefined;
      last?: number | undefined;
      type?: string | undefined;
    };
    body: undefined;
    answer: string;
  };
  'GET /v1/logs': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      machine?: string | undefined;
      agent?: string | undefined;
      run?: string | undefined;
      since?: string | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['LogLine']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/inbox': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Notice']>;
      nextCursor: string | null;
      clearSince: string | null;
    };
  };
  'POST /v1/inbox/{id}/done': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: {
      id: string;
      changed: boolean;
    } | Schemas['DryRun'];
  };
  'GET /v1/notifications': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      destination?: string | undefined;
      state?: 'pending' | 'sending' | 'sent' | 'failed' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Notification']>;
      nextCursor: string | null;
    };
  };
  'POST /v1/notifications/test': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      destination?: string | undefined;
    };
    answer: Schemas['DryRun'] | {
      destinations: Array<string>;
    };
  };
  'POST /v1/work': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      service: string;
      input: unknown;
      priority?: number | undefined;
      deadline?: string | undefined;
      attempts?: number | undefined;
      leaseSeconds?: number | undefined;
    };
    answer: Schemas['DryRun'] | Schemas['WorkDetail'];
  };
  'GET /v1/work': {
    path: undefined;
    query: {
      limit?: number | undefined;
      cursor?: string | undefined;
      format?: 'json' | 'ndjson' | 'csv' | undefined;
      service?: string | undefined;
      state?: 'queued' | 'running' | 'completed' | 'failed' | 'expired' | 'canceled' | undefined;
    };
    body: undefined;
    answer: {
      items: Array<Schemas['Work']>;
      nextCursor: string | null;
    };
  };
  'GET /v1/work/{id}': {
    path: {
      id: string;
    };
    query: undefined;
    body: undefined;
    answer: Schemas['WorkDetail'];
  };
  'POST /v1/work/{id}/cancel': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: Record<string, never> | null | undefined;
    answer: Schemas['WorkDetail'] | Schemas['DryRun'];
  };
  'POST /v1/work/claim': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      queue: string;
      waitSeconds?: number | undefined;
    };
    answer: Schemas['WorkClaim'] | Schemas['DryRun'] | undefined;
  };
  'POST /v1/work/heartbeat': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      token: string;
    };
    answer: {
      leaseSeconds: number;
    } | Schemas['DryRun'];
  };
  'POST /v1/work/complete': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      token: string;
      result: unknown;
    };
    answer: Schemas['WorkAnswered'] | Schemas['DryRun'];
  };
  'POST /v1/work/fail': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: {
      token: string;
      reason: string;
      retryable?: boolean | undefined;
    };
    answer: Schemas['WorkAnswered'] | Schemas['DryRun'];
  };
  'POST /v1/agents/import': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
      as?: string | undefined;
      name?: string | undefined;
      archetype?: string | undefined;
      memories?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: Schemas['PersonaImport'];
  };
  'POST /v1/memories': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
      format?: 'ndjson' | 'generative-agents' | undefined;
      agentId?: string | undefined;
    };
    body: Record<string, unknown>;
    answer: Schemas['MemoryImport'];
  };
  'POST /v1/sources/{id}/events': {
    path: {
      id: string;
    };
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: {
      id: string;
      known: boolean;
    } | Schemas['DryRun'] | {
      id: string;
      known: boolean;
    };
  };
  'POST /v1/payments/stripe/events': {
    path: undefined;
    query: {
      dryRun?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: {
      id: string;
      known: boolean;
    } | Schemas['DryRun'];
  };
}
