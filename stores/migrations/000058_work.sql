-- Work for services of the owner's: its input, and how it ended. The workflow runWork keeps its clock; who has it is said here, under the row's lock.
create table works (
  id text primary key,
  owner_id text not null references users (id),
  service_id text not null references services (id),
  -- The task queue, made of the service's id.
  queue text not null,
  -- As the service's entry said when it was submitted. work: claimed over HTTP. native: a Temporal worker of the owner's does it.
  joins text not null check (joins in ('work', 'native')),
  -- The service that submitted it; null: a person.
  submitted_by text references services (id),
  -- Text and not jsonb: it goes out as it came in.
  input json not null,
  -- Of all that was asked for: another body under the same id is refused.
  request_hash bytea not null,
  -- 1 first, 5 last.
  priority smallint not null check (priority between 1 and 5),
  lease_seconds integer not null check (lease_seconds > 0),
  -- At most.
  attempts integer not null check (attempts > 0),
  -- Of the last claim; 0: none yet.
  attempt integer not null default 0,
  state text not null default 'queued' check (state in ('queued', 'running', 'completed', 'failed', 'expired', 'canceled')),
  reason text not null default '',
  result json,
  deadline timestamptz not null,
  -- Temporal's token of the attempt that offers it; null: nobody offers it, and it cannot be claimed.
  task_token bytea,
  offered_at timestamptz,
  created_at timestamptz not null default now(),
  -- First claimed.
  started_at timestamptz,
  ended_at timestamptz,
  check ((ended_at is null) = (state in ('queued', 'running'))),
  check (state <> 'running' or attempt > 0)
);
-- What a claim takes, in its order.
create index works_offered on works (service_id, priority, created_at, id) where state = 'queued' and task_token is not null;
create index works_owner on works (owner_id, created_at, id);
create index works_open on works (queue) where ended_at is null;
create index works_ended on works (ended_at) where ended_at is not null;
create index works_service on works (service_id);

-- One claim each; kept with the work, so that an answer that comes twice or late is known.
create table work_attempts (
  work_id text not null references works (id) on delete cascade,
  attempt integer not null,
  service_id text not null references services (id),
  -- SHA-256 of the token that the claimer was given.
  token_hash bytea not null unique,
  task_token bytea not null,
  claimed_at timestamptz not null default now(),
  -- Of the last heartbeat.
  beat_at timestamptz not null default now(),
  outcome text check (outcome in ('completed', 'failed', 'lost', 'expired', 'canceled')),
  reason text not null default '',
  -- Of what the claimer answered: the same answer again is taken, another one is not.
  answer_hash bytea,
  ended_at timestamptz,
  primary key (work_id, attempt),
  check ((ended_at is null) = (outcome is null))
);
create index work_attempts_service on work_attempts (service_id, claimed_at);
