-- Backups of a fleet that `npm start` runs, drills of restoring them, and restores. The archives are the truth of what can be
-- restored; these rows are what health, metrics and the API go by.

create table backups (
  -- The moment it was begun, such as 20261122T013000Z.
  id text primary key check (id ~ '^\d{8}T\d{6}Z$'),
  owner_id text not null references users (id),
  state text not null default 'running' check (state in ('running', 'done', 'failed')),
  reason text not null default '',
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  folder text not null,
  -- Of the archive; null until it is done.
  bytes bigint,
  row_count bigint,
  -- Why the second copy was not made; empty: it was, or none is asked for.
  copy_reason text not null default '',
  check ((state = 'running') = (ended_at is null)),
  check ((state = 'done') = (bytes is not null and row_count is not null))
);
create index backups_order on backups (started_at desc, id);

create table restore_drills (
  id text primary key check (id ~ '^\d{8}T\d{6}Z$'),
  owner_id text not null references users (id),
  backup_id text not null,
  state text not null default 'running' check (state in ('running', 'done', 'failed')),
  reason text not null default '',
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  -- What would have been lost, and how long it took to be back.
  rpo_seconds double precision,
  rto_seconds double precision,
  check ((state = 'running') = (ended_at is null)),
  check ((state = 'done') = (rpo_seconds is not null and rto_seconds is not null))
);
create index restore_drills_order on restore_drills (started_at desc, id);

-- Each restore begins a generation of this fleet: transaction numbers begin anew with it, and cursors of events name it.
create table restores (
  generation integer primary key check (generation >= 1),
  backup_id text not null,
  -- Of when the restored state is.
  made_at timestamptz not null,
  restored_at timestamptz not null default clock_timestamp(),
  -- The newest event that was restored; what had a higher number was lost, and the number is given again.
  last_event_id bigint not null
);
