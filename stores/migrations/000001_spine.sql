-- The spine: fleet, machines, plans, agents, memories, reflections, runs, intents, events, notices, principals.


create table users (
  id text primary key,
  name text not null,
  role text not null check (role in ('operator', 'creator', 'member', 'reader')),
  created_at timestamptz not null default now()
);

-- Bearer tokens, sign-in links (kind once, single use) and browser sessions; only hashes are kept.
create table tokens (
  id text primary key,
  owner_id text not null references users (id),
  kind text not null check (kind in ('bearer', 'once', 'session')),
  role text not null check (role in ('operator', 'creator', 'member', 'reader')),
  name text not null default '',
  hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  used_at timestamptz,
  revoked_at timestamptz
);
create index tokens_owner on tokens (owner_id);

-- Each apply of fleet.yaml is a numbered version; undo applies an older one as a new version.
create table fleet_versions (
  version integer generated always as identity primary key,
  owner_id text not null references users (id),
  source text not null,
  fleet jsonb not null,
  changes jsonb not null default '[]',
  undo_of integer references fleet_versions (version),
  applied_at timestamptz not null default now()
);

create table machines (
  id text primary key,
  owner_id text not null references users (id),
  runs_as text not null default 'simulated' check (runs_as in ('local', 'remote', 'simulated')),
  state text not null default 'lost' check (state in ('ready', 'suspect', 'lost', 'draining', 'drained')),
  reason text not null default 'never started',
  epoch bigint not null default 0,
  lease_until timestamptz not null default '-infinity',
  polls text[] not null default '{}',
  plan_version integer,
  identity text,
  -- False once the model server has been silent for a lease: plans do without the machine's GPUs.
  model_server_up boolean not null default true,
  -- Models that the plan keeps here and that could not be loaded.
  missing_models text[] not null default '{}',
  drains integer not null default 0,
  removed_at timestamptz,
  changed_at timestamptz not null default now()
);

-- One row: when checkFleetHealth last looked, so that its own silence is never taken for a machine's.
create table fleet_health (
  only_one boolean primary key default true check (only_one),
  checked_at timestamptz not null default now()
);
insert into fleet_health default values;

create table plans (
  version integer generated always as identity primary key,
  owner_id text not null references users (id),
  state text not null default 'planned' check (state in ('planned', 'applying', 'applied', 'superseded')),
  reason text not null,
  -- Both empty until replanFleet has computed the plan: the row asks for it.
  fleet_version integer references fleet_versions (version),
  plan jsonb,
  created_at timestamptz not null default now(),
  applied_at timestamptz,
  check (state = 'planned' or state = 'superseded' or plan is not null)
);
create unique index plans_one_applied on plans ((true)) where state = 'applied';
-- Causes that come before the plan is computed share one row.
create unique index plans_one_planned on plans ((true)) where state = 'planned';

-- Measured rates replace those of fleet.yaml.
create table model_rates (
  model_id text not null,
  gpu_class text not null,
  tokens_per_second double precision not null check (tokens_per_second > 0),
  slowdown double precision not null check (slowdown >= 0),
  samples integer not null,
  measured_at timestamptz not null default now(),
  primary key (model_id, gpu_class)
);

create table agents (
  id text primary key,
  owner_id text not null references users (id),
  name text not null unique,
  archetype text not null,
  persona text not null,
  traits text[] not null,
  mask_seed bigint not null,
  state text not null default 'active' check (state in ('active', 'parked', 'retired')),
  paused boolean not null default false,
  cadence text not null,
  model_id text not null,
  least_class text not null,
  may_degrade boolean not null,
  priority double precision not null,
  tokens_per_day integer not null,
  expected_tokens integer not null,
  home_machine_id text references machines (id),
  home_reason text not null default 'not planned yet',
  memory_seq bigint not null default 0,
  reflected_to_seq bigint not null default 0,
  fleet_version integer not null references fleet_versions (version),
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now()
);
create index agents_cadence on agents (cadence, id) where state = 'active' and not paused;

create table memories (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  -- Counted under the agent's row lock, so none commits behind reflected_to_seq.
  seq bigint not null,
  kind text not null check (kind in ('observation', 'reflection', 'whisper', 'conversation', 'reply', 'drop', 'vote', 'sale')),
  text text not null check (text <> ''),
  importance smallint not null check (importance between 1 and 10),
  source text not null,
  -- What makes two imports the same memory: the sender's id, else a hash of text and time.
  external_key text not null,
  occurred_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  unique (agent_id, seq),
  unique (agent_id, external_key)
);

create table sweeps (
  id text primary key,
  owner_id text not null references users (id),
  workflow_id text not null unique,
  trigger text not null check (trigger in ('schedule', 'call')),
  cadence text,
  period text not null,
  state text not null default 'running' check (state in ('running', 'done', 'canceled')),
  started_at timestamptz not null default now(),
  ended_at timestamptz
);

create table runs (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  sweep_id text references sweeps (id),
  workflow_id text not null,
  attempt integer not null default 1,
  trigger text not null check (trigger in ('schedule', 'call', 'importance')),
  period text not null,
  state text not null default 'queued' check (state in ('queued', 'running', 'parked', 'done', 'empty', 'failed', 'canceled')),
  reason text not null default '',
  -- The agent's own model, and the model and queue of the rung it stands on.
  wanted_model_id text not null,
  model_id text not null,
  queue text not null,
  degraded boolean not null default false,
  expected_tokens integer not null,
  from_seq bigint,
  to_seq bigint,
  machine_id text references machines (id),
  tokens integer,
  reflections integer not null default 0,
  moves integer not null default 0,
  -- The execution that works on this row, and the refill of the sweep that started it.
  temporal_run_id text,
  refill integer,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  unique (workflow_id, attempt),
  check ((state in ('done', 'empty', 'failed', 'canceled')) = (ended_at is not null))
);
create index runs_open on runs (queue) where state in ('queued', 'running', 'parked');
create index runs_agent on runs (agent_id, created_at desc);
create index runs_sweep on runs (sweep_id, state);
-- At most one open run an agent: a second trigger is answered with the first.
create unique index runs_one_open on runs (agent_id) where state in ('queued', 'running', 'parked');

-- One result a step, whoever brings it first under a living epoch.
create table step_results (
  run_id text not null references runs (id),
  step text not null,
  machine_id text not null references machines (id),
  epoch bigint not null,
  result jsonb not null,
  stored_at timestamptz not null default clock_timestamp(),
  primary key (run_id, step)
);

create table reflections (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  run_id text not null references runs (id),
  ordinal smallint not null,
  text text not null check (text <> ''),
  model_id text not null,
  source text not null,
  prompt_version text not null,
  degraded boolean not null,
  machine_id text not null references machines (id),
  tokens integer not null,
  seconds double precision not null,
  created_at timestamptz not null default now(),
  unique (run_id, ordinal)
);
create index reflections_agent on reflections (agent_id, created_at desc);

create table reflection_evidence (
  reflection_id text not null references reflections (id),
  ordinal smallint not null,
  memory_id text not null references memories (id),
  primary key (reflection_id, ordinal),
  unique (reflection_id, memory_id)
);
create index reflection_evidence_memory on reflection_evidence (memory_id);

-- Database facts that must start a workflow: written in the same transaction, started and deleted by the relay.
create table intents (
  workflow_id text primary key,
  type text not null,
  args jsonb not null,
  created_at timestamptz not null default now()
);
create function notify_intents() returns trigger language plpgsql as $$
begin
  perform pg_notify('intents', '');
  return null;
end $$;
create trigger intents_notify after insert on intents for each statement execute function notify_intents();

create table events (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null default now(),
  owner_id text not null references users (id),
  type text not null,
  subject text not null,
  data jsonb not null default '{}'
);
create index events_order on events (xid, id);
create function notify_events() returns trigger language plpgsql as $$
begin
  perform pg_notify('events', '');
  return null;
end $$;
create trigger events_notify after insert on events for each statement execute function notify_events();

-- What needs a person. One open notice per key.
create table notices (
  id text primary key,
  owner_id text not null references users (id),
  kind text not null,
  key text not null,
  subject text not null,
  title text not null,
  detail text not null default '',
  action text not null default '',
  opened_at timestamptz not null default now(),
  seen integer not null default 1,
  resolved_at timestamptz
);
create unique index notices_one_open on notices (key) where resolved_at is null;
