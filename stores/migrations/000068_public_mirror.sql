-- Copies of what is public (mirrorPublic), by target. The copy itself is the truth of what is there; these rows are what health,
-- the API and the command go by.

create table mirror_runs (
  id text primary key check (id ~ '^\d{8}T\d{6}Z-(folder|postgres)$'),
  owner_id text not null references users (id),
  target text not null check (target in ('folder', 'postgres')),
  state text not null default 'running' check (state in ('running', 'done', 'failed')),
  reason text not null default '',
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  -- What is there now, and what this run changed of it; null until it is done.
  entries integer,
  bytes bigint,
  written integer,
  removed integer,
  -- Of the manifest.
  sha256 text,
  check ((state = 'running') = (ended_at is null)),
  check ((state = 'done') = (entries is not null and bytes is not null and written is not null and removed is not null and sha256 is not null))
);
create index mirror_runs_order on mirror_runs (owner_id, id desc);
create index mirror_runs_target on mirror_runs (target, started_at desc);

alter table health drop constraint health_subject_kind_check;
alter table health add constraint health_subject_kind_check check (subject_kind in
  ('agent', 'machine', 'worker', 'model_server', 'schedule', 'channel', 'ledger', 'disk', 'backup', 'certificate', 'service', 'token', 'mirror'));
