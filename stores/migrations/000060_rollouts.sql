-- Work packages that are carried out in order (domain/rollouts.ts). Rows are the truth: the workflow reads them after each step.
create table rollouts (
  id text primary key,
  owner_id text not null references users (id),
  -- As it was when it began: what is under way does not change under it.
  file jsonb not null,
  -- All of the fleet at its beginning, in fleet.yaml's order.
  machines text[] not null,
  state text not null default 'running' check (state in ('running', 'paused', 'held', 'rolling_back', 'done', 'rolled_back')),
  reason text not null default '',
  request_hash bytea not null,
  -- The token that asked.
  made_by text not null references tokens (id),
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  ended_at timestamptz
);
-- Two at once would undo each other's work.
create unique index rollouts_one on rollouts (owner_id) where ended_at is null;

create table rollout_packages (
  rollout_id text not null references rollouts (id) on delete cascade,
  package_id text not null,
  position integer not null,
  state text not null default 'waiting'
    check (state in ('waiting', 'running', 'verifying', 'done', 'undoing', 'failed', 'undone', 'stuck', 'skipped')),
  -- Where an undo leads.
  undo_to text check (undo_to in ('failed', 'undone')),
  reason text not null default '',
  -- Counts from 1; each begins its steps anew.
  attempt integer not null default 1,
  -- Since when all has been well, while it is verified.
  well_since timestamptz,
  changed_at timestamptz not null default now(),
  primary key (rollout_id, package_id)
);

create table rollout_steps (
  rollout_id text not null,
  package_id text not null,
  attempt integer not null,
  phase text not null check (phase in ('steps', 'undo')),
  position integer not null,
  -- Empty: a person's.
  machine_id text not null,
  kind text not null,
  state text not null default 'running' check (state in ('running', 'waiting', 'done', 'failed', 'doubtful')),
  reason text not null default '',
  result jsonb,
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (rollout_id, package_id, attempt, phase, position, machine_id),
  foreign key (rollout_id, package_id) references rollout_packages (rollout_id, package_id) on delete cascade
);
