/**
 * The one table of stable codes. A code maps once to HTTP (api/errors.ts) and once to ApplicationFailure
 * (activities/interceptors.ts); docs/errors.md is generated from it. A retired code is never used again.
 */
export interface ErrorEntry {
  /** HTTP status where the API answers with this code. */
  readonly status: number;
  /** Whether Temporal should try the same activity again. */
  readonly retryable: boolean;
  readonly cause: string;
  readonly mend: string;
}

export const errorTable = {
  INVALID_INPUT: {
    status: 400,
    retryable: false,
    cause: 'A field is missing, unknown, of the wrong type or out of range.',
    mend: 'Mend each field named in `errors`.',
  },
  MALFORMED_BODY: {
    status: 400,
    retryable: false,
    cause: 'The body is not valid JSON, NDJSON or UTF-8.',
    mend: 'Send UTF-8 text that parses.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    retryable: false,
    cause: 'The content type is not one this route reads.',
    mend: 'Send application/json, or application/x-ndjson, image/png or application/octet-stream where the route takes it.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    retryable: false,
    cause: 'The body is over the limit of the route.',
    mend: 'Send smaller pieces; NDJSON streams are limited per line, not in all.',
  },
  UNAUTHENTICATED: {
    status: 401,
    retryable: false,
    cause: 'No valid token or session came with the request.',
    mend: 'Send `Authorization: Bearer <token>`, or open the link that `npm start` printed.',
  },
  FORBIDDEN: {
    status: 403,
    retryable: false,
    cause: 'The role of the token does not cover this action.',
    mend: 'Use a token with the role that the message names.',
  },
  NOT_FOUND: {
    status: 404,
    retryable: false,
    cause: 'There is no such thing, or it belongs to another owner.',
    mend: 'Check the id; lists show what you may see.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    retryable: false,
    cause: 'The path exists but not with this method.',
    mend: 'See /docs for the methods of the path.',
  },
  CONFLICT: {
    status: 409,
    retryable: false,
    cause: 'The thing is not in a state that allows this, or the key was used with another body.',
    mend: 'Read it again and decide anew.',
  },
  RATE_LIMITED: {
    status: 429,
    retryable: true,
    cause: 'More requests than the limit of this token allows.',
    mend: 'Wait for the seconds in `Retry-After`.',
  },
  INTERNAL: {
    status: 500,
    retryable: true,
    cause: 'A fault of ours; the log has it under the request id.',
    mend: 'Try again; if it stays, report the request id.',
  },
  UNAVAILABLE: {
    status: 503,
    retryable: true,
    cause: 'Temporal, Postgres or Redis does not answer.',
    mend: 'Try again; /v1/health/ready names the part.',
  },
  CONFIG_INVALID: {
    status: 422,
    retryable: false,
    cause: 'fleet.yaml, a file of fleet.d or rollout.yaml does not follow its schema.',
    mend: 'Mend the lines named; `soulfra config check` lists them all.',
  },
  CADENCE_TOO_FAST: {
    status: 422,
    retryable: false,
    cause: 'The agents ask for more than 85 % of the GPU-hours there are.',
    mend: 'Use the cadence that the message names, fewer agents or another machine.',
  },
  DATA_NEWER: {
    status: 500,
    retryable: false,
    cause: 'The data was written by a newer Soulfra than this one.',
    mend: 'Start the newer version again, or start over with `npm start -- --reset`.',
  },
  FENCED: {
    status: 409,
    retryable: false,
    cause: 'The result came from a machine whose lease had passed to a later epoch; it was not stored.',
    mend: 'None needed: the workflow schedules the step anew.',
  },
  AGENT_RETIRED: {
    status: 409,
    retryable: false,
    cause: 'The agent is retired.',
    mend: 'Revive it first.',
  },
  AGENT_DORMANT: {
    status: 409,
    retryable: false,
    cause: 'The agent was brought along to be sold; nothing of this fleet works for it.',
    mend: 'Ask who runs the fleet to install its package.',
  },
  MACHINE_UNKNOWN: {
    status: 404,
    retryable: false,
    cause: 'fleet.yaml names no such machine.',
    mend: 'Add it to fleet.yaml and apply, or check the name.',
  },
  TOKENS_SPENT: {
    status: 429,
    retryable: false,
    cause:
      'The agent, its archetype or the service that asks has spent its tokens of the day (`budgets` in fleet.yaml).',
    mend: 'Wait until midnight UTC, or raise the budget and apply; `soulfra budgets` shows them.',
  },
  MACHINE_YIELDED: {
    status: 503,
    retryable: true,
    cause: 'The machine gave its GPUs to their owner (machines[].yield) while the call was in hand.',
    mend: 'None needed: the step is tried again on another machine, or here once the owner is done.',
  },
  MODEL_SERVER_DOWN: {
    status: 503,
    retryable: true,
    cause: 'The model server of the machine refused the connection or broke it off.',
    mend: 'Start it; the worker polls its queues again by itself.',
  },
  MODEL_OVERLOADED: {
    status: 503,
    retryable: true,
    cause: 'The model server answered 429 or 503.',
    mend: 'Lower `modelServer.sequences` of the machine if it stays.',
  },
  MODEL_STALLED: {
    status: 504,
    retryable: true,
    cause: 'The model server made no progress for longer than the stall limit.',
    mend: 'Look at the model server; the step is tried again.',
  },
  MODEL_MISSING: {
    status: 404,
    retryable: false,
    cause: 'The model server does not have the model.',
    mend: 'Pull it on that machine, or map another with `soulfra models use`.',
  },
  MODEL_UNVERIFIED: {
    status: 503,
    retryable: true,
    cause: 'The machine has no version of the model that fleet.yaml names by its digest, so it serves none.',
    mend: 'See `soulfra models verify`; `soulfra models sync` fetches it, `soulfra models pin` takes what is there.',
  },
  MODEL_REFUSED: {
    status: 422,
    retryable: false,
    cause: 'The model server refused the request (4xx), for instance because the prompt is over the context.',
    mend: 'See the message of the server in the reason of the run.',
  },
  MODEL_OUTPUT_INVALID: {
    status: 422,
    retryable: false,
    cause: 'The answer of the model did not follow the schema, also after one repair try.',
    mend: 'Try again later or use another model; nothing was stored.',
  },
  ADDRESS_REFUSED: {
    status: 422,
    retryable: false,
    cause:
      'The address is no http or https address, or leads into a private network, to this host or to a cloud’s metadata.',
    mend: 'Use a public address, or name the host in `allowPrivate` of the source if it is yours.',
  },
  REMOTE_FAILED: {
    status: 502,
    retryable: true,
    cause: 'A server elsewhere did not answer, or not with what was asked for.',
    mend: 'See the message; what is fetched by a Schedule is tried again by itself.',
  },
  EMBEDDINGS_FAILED: {
    status: 503,
    retryable: true,
    cause: 'The model that turns texts into vectors did not answer, or answered something else than vectors.',
    mend: 'Look at the server of `embeddings` in fleet.yaml; memories without vectors are found by their words alone.',
  },
  BALANCE_TOO_LOW: {
    status: 409,
    retryable: false,
    cause: 'An account of the ledger holds less than this would take.',
    mend: 'Take less, or have credits granted first: `soulfra credits grant`.',
  },
  ADDRESS_NOT_VERIFIED: {
    status: 403,
    retryable: false,
    cause: 'Who buys has no verified mail address.',
    mend: 'Open a link that was mailed to the address (`soulfra sign-up ADDRESS`), then buy under a new Idempotency-Key.',
  },
  BUDGET_EXCEEDED: {
    status: 409,
    retryable: false,
    cause: 'The agent has no budget in the currency, or less than this is left of it this month.',
    mend: 'Raise it with `soulfra agents budget`, or buy without the agent.',
  },
  LISTING_REFUSED: {
    status: 422,
    retryable: false,
    cause: 'What is offered may not be sold as it is.',
    mend: '`errors` names each thing that stands against it.',
  },
  PRECONDITION_REQUIRED: {
    status: 428,
    retryable: false,
    cause: 'A change of this needs the version that it is made of.',
    mend: 'Read it, and send its `ETag` as `If-Match`.',
  },
  PRECONDITION_FAILED: {
    status: 412,
    retryable: false,
    cause: 'It was changed since it was read.',
    mend: 'Read it again, and decide anew.',
  },
  PAYMENT_REFUSED: {
    status: 402,
    retryable: false,
    cause: 'The payment was refused; nothing was taken.',
    mend: 'Pay in another way, under a new Idempotency-Key.',
  },
  PAYMENT_PROVIDER_DOWN: {
    status: 503,
    retryable: true,
    cause: 'The payment provider did not answer, or asked to be asked later; nothing was done there.',
    mend: 'None needed: the step is tried again. If it stays, see the page of the provider’s state.',
  },
  PAYMENT_UNKNOWN: {
    status: 504,
    retryable: true,
    cause: 'The payment provider broke off before it said whether it did what was asked.',
    mend: 'None needed: the step is tried again under the same key, so that it is done once.',
  },
  PAYMENTS_NOT_SET_UP: {
    status: 503,
    retryable: true,
    cause: 'A payment provider is asked for that has no keys here, or whose keys it does not take.',
    mend: 'Set STRIPE_SECRET_KEY_FILE for the workers and STRIPE_WEBHOOK_SECRET_FILE for the API, and start them again: docs/security.md.',
  },
  LOOP_TAMPERED: {
    status: 422,
    retryable: false,
    cause: 'The loop package is not what was signed: its signature, a hash or its form does not hold.',
    mend: 'Ask who gave it to you for it anew; never install this one.',
  },
  KEY_NOT_PINNED: {
    status: 422,
    retryable: false,
    cause: 'The signature holds, but nobody here has said that its key is to be trusted.',
    mend: 'Pin the key once you know whose it is (`soulfra keys pin FILE`, made by its issuer’s `soulfra keys export`), or add `--trust-unknown` (`trustUnknown=true`) for this one package.',
  },
  SIGNING_KEY_MISSING: {
    status: 503,
    retryable: false,
    cause: 'There is no private key that could sign, or it cannot be opened.',
    mend: 'Set SOULFRA_SECRET_KEY (the one that sealed the key) or SOULFRA_SIGNING_KEY_FILE for the API and start it again; if the old one is lost, `soulfra keys rotate`.',
  },
  PAYLOAD_KEY_MISSING: {
    status: 503,
    retryable: true,
    cause: 'A payload in Temporal is encoded under a key that this process has not.',
    mend: 'Put the key that the message names into SOULFRA_PAYLOAD_KEYS of this process, behind the first, and start it again (docs/security.md#payloads).',
  },
  LICENSE_REFUSED: {
    status: 409,
    retryable: false,
    cause: 'The license does not permit it now.',
    mend: '`errors` has the code, such as USED_UP, and what to do; docs/licenses.md lists them.',
  },
  BACKUP_DAMAGED: {
    status: 422,
    retryable: false,
    cause: 'A backup breaks off, was changed, or what was restored from it is not what it says.',
    mend: 'Take another one: `soulfra backups list`; a second copy (`backup.to` in fleet.yaml) may be whole.',
  },
  BACKUP_KEY_WRONG: {
    status: 422,
    retryable: false,
    cause: 'The key or passphrase does not open the backup, or its file is missing, broken or readable by others.',
    mend: 'Put the key back that the backup was made with: SOULFRA_BACKUP_KEY_FILE, SOULFRA_BACKUP_PASSPHRASE_FILE (docs/backup.md).',
  },
  DISK_FULL: {
    status: 507,
    retryable: true,
    cause: 'There is not enough room for what is to be written; nothing half is left of it.',
    mend: 'Make room (df -h), or name another folder: SOULFRA_HOME, SOULFRA_BACKUP_FOLDER, `--to`, `--into`.',
  },
  GUILD_FULL: {
    status: 409,
    retryable: false,
    cause: 'Every seat of the guild is taken.',
    mend: 'Ask for more seats or wait until somebody leaves; the invitation was not used.',
  },
  INVITE_ENDED: {
    status: 409,
    retryable: false,
    cause: 'The invitation was declined, revoked or used up, has expired, or its guild is closed.',
    mend: 'Ask for another one; this one stands in nobody’s way.',
  },
  INVITE_LIMIT: {
    status: 429,
    retryable: false,
    cause: 'So many invitations were sent that no more may be, by one inviter in a day or open in one guild.',
    mend: 'Wait, or revoke some that are open; `guilds` in fleet.yaml has the limits.',
  },
  WORK_LEASE_LOST: {
    status: 409,
    retryable: false,
    cause: 'The lease of this attempt has run out, or the work has ended without it: what came is not taken.',
    mend: 'Drop the result and claim anew; send heartbeats well within `leaseSeconds`.',
  },
  SERVICE_TAKES_NO_WORK: {
    status: 409,
    retryable: false,
    cause: 'The entry of the service in fleet.d does not say that it takes work.',
    mend: 'Write `joins: work` or `joins: native` there (docs/work.md) and run `soulfra apply`.',
  },
  MODEL_UNKNOWN: {
    status: 404,
    retryable: false,
    cause: 'A request to the gateway names a model that fleet.yaml does not have, by this name or as an alias.',
    mend: 'Use one that the message names, or add it to `gateway.aliases` in fleet.yaml.',
  },
  MODEL_UNSERVED: {
    status: 503,
    retryable: true,
    cause:
      'No living machine serves the model that a request to the gateway asks for, or the machines that would have no model server.',
    mend: 'See `soulfra fleet plan`: a model is kept where agents use it. `soulfra machines` shows which of them live.',
  },
  CONTEXT_TOO_LONG: {
    status: 400,
    retryable: false,
    cause: 'What a request to the gateway says is longer than the context that the model is loaded with.',
    mend: 'Say less, ask for fewer tokens, or use a model with a longer `context` in fleet.yaml.',
  },
  PARAMETER_UNSUPPORTED: {
    status: 400,
    retryable: false,
    cause: 'A request to the gateway asks for something that it, or the model server that would answer, does not heed.',
    mend: 'Leave out the parameter that the message names; docs/gateway.md lists what is heeded.',
  },
  GATEWAY_BUSY: {
    status: 429,
    retryable: true,
    cause:
      'As many requests of one service are open as may be, or the bodies of all of them leave no room (`gateway.openPerService`, `gateway.openMiB` in fleet.yaml).',
    mend: 'Wait for the seconds in `Retry-After`.',
  },
  BODY_TOO_SLOW: {
    status: 408,
    retryable: true,
    cause: 'The body of a request to the gateway came in too slowly; room for all of it is held meanwhile.',
    mend: 'Send it in one go: without a pause of 10 s, and within a minute.',
  },
  DEPLOY_BLOCKED: {
    status: 409,
    retryable: false,
    cause:
      'The last assessment of a repository has a critical finding that nobody answers for, so nothing new is brought to the fleet: no service is started that never ran.',
    mend: 'Mend what the message names and assess again, or answer for it until a day: `soulfra readiness accept`.',
  },
  MACHINE_INVITE_ENDED: {
    status: 410,
    retryable: false,
    cause: 'The invitation of a machine is unknown, was used by another box, was revoked or has run out.',
    mend: 'Make a new one on the first box: `soulfra machine invite MACHINE`; it works once, within 15 minutes.',
  },
  CERTIFICATE_REFUSED: {
    status: 403,
    retryable: false,
    cause: 'The certificate is missing, not of this fleet’s authority, revoked or has run out.',
    mend: 'Invite the machine anew on the first box: `soulfra machine invite MACHINE`.',
  },
  VERSION_DIFFERS: {
    status: 409,
    retryable: false,
    cause: 'The box has another Soulfra than the fleet: its workflows would not be the fleet’s.',
    mend: 'Check out the fleet’s version on the box, run `npm ci` and join again; the invitation was not used.',
  },
  CLOCK_OFF: {
    status: 409,
    retryable: false,
    cause: 'The clock of the box is minutes away from the fleet’s: certificates and leases go by time.',
    mend: 'Set it (`timedatectl set-ntp true`; on WSL2 `wsl --shutdown` in Windows) and join again; the invitation was not used.',
  },
  ANSWER_CUT: {
    status: 502,
    retryable: false,
    cause: 'The machine that answered a stream of the gateway went away after its first words were sent.',
    mend: 'Ask again: what was sent cannot be taken back, so no other machine goes on with it.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}

/** One field that broke one rule, and how to mend it. */
export interface FieldError {
  path: string;
  rule: string;
  mend: string;
}

export class DomainError extends Error {
  readonly code: ErrorCode;
  readonly fields: readonly FieldError[];
  /** In how many seconds asking again may help, where that is known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options?: { cause?: unknown; fields?: readonly FieldError[]; retryAfterSeconds?: number | undefined },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DomainError';
    this.code = code;
    this.fields = options?.fields ?? [];
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }
}

export function isDomainError(err: unknown, code?: ErrorCode): err is DomainError {
  return err instanceof DomainError && (code === undefined || err.code === code);
}
