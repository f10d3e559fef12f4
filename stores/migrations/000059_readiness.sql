-- What stands between an existing fleet and production: runs of assessReadiness, what they found, and who answers for what.
create table readiness_runs (
  id text primary key,
  owner_id text not null references users (id),
  -- Where the repository lies and how it is read, as it was asked for.
  repository jsonb not null,
  state text not null default 'running' check (state in ('running', 'done', 'failed')),
  reason text not null default '',
  verdict text check (verdict in ('ready', 'partially_ready', 'not_ready')),
  -- What is judged; kept of the last run alone. No secret is in it.
  inventory jsonb,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  check ((state = 'done') = (verdict is not null))
);
create index readiness_runs_owner on readiness_runs (owner_id, started_at);

create table readiness_findings (
  run_id text not null references readiness_runs (id) on delete cascade,
  fingerprint text not null,
  rule text not null,
  area text not null,
  severity text not null check (severity in ('critical', 'high', 'medium', 'low', 'unknown')),
  subject text not null,
  place text,
  evidence text not null,
  mend text not null,
  work_package text not null,
  -- Against the run before; null until the run is settled. What is gone stands in the run in which it was missed.
  state text check (state in ('new', 'known', 'returned', 'gone')),
  primary key (run_id, fingerprint)
);

-- One row an assessor that is through: a second execution stores nothing twice.
create table readiness_assessments (
  run_id text not null references readiness_runs (id) on delete cascade,
  area text not null,
  found int not null,
  primary key (run_id, area)
);

create table readiness_acceptances (
  id text primary key,
  owner_id text not null references users (id),
  rule text not null,
  fingerprint text not null,
  until date not null,
  accepted_by text not null,
  reason text not null,
  created_at timestamptz not null default now()
);
create index readiness_acceptances_owner on readiness_acceptances (owner_id, fingerprint);
