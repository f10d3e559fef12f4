-- When a package that is verified was looked at: time without looks is no time in which it was well.
alter table rollout_packages add column looked_at timestamptz;

-- What each machine says of itself for an assessment, beside the one that has read the repository.
create table readiness_live (
  run_id text not null references readiness_runs (id) on delete cascade,
  machine_id text not null,
  facts jsonb not null,
  read_at timestamptz not null default now(),
  primary key (run_id, machine_id)
);

-- How services took SIGTERM where somebody tried it: the last trial of each counts in assessments.
create table stop_trials (
  owner_id text not null references users (id),
  service_id text not null,
  -- Of the command that was tried, as trust files have it: another one was not.
  command_sha256 text not null,
  ended jsonb not null,
  tried_at timestamptz not null default now(),
  -- The token that told it.
  told_by text not null references tokens (id),
  primary key (owner_id, service_id)
);
