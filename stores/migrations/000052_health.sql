-- How every part of the fleet does, as the rules of domain/health-rules.ts judge it, and how that has changed.

create table health (
  subject_kind text not null check (subject_kind in
    ('agent', 'machine', 'worker', 'model_server', 'schedule', 'channel', 'ledger', 'disk', 'backup', 'certificate')),
  subject_id text not null,
  owner_id text not null references users (id),
  state text not null check (state in ('lost', 'failing', 'late', 'not_set_up', 'ok')),
  reason text not null default '',
  since timestamptz not null default clock_timestamp(),
  -- Seen, and not yet often enough to count.
  pending_state text check (pending_state in ('lost', 'failing', 'late', 'not_set_up', 'ok')),
  pending_looks smallint not null default 0,
  -- Until then only what happens can change it, not time alone; null: it is looked at each time.
  look_at timestamptz,
  -- The worst first; the same order as healthStates of domain/states.ts.
  rank smallint not null generated always as (array_position(array['lost', 'failing', 'late', 'not_set_up', 'ok'], state)) stored,
  primary key (subject_kind, subject_id),
  check ((pending_state is null) = (pending_looks = 0))
);
create index health_worst on health (owner_id, rank, subject_kind, subject_id);

create table health_changes (
  id bigint generated always as identity primary key,
  owner_id text not null references users (id),
  subject_kind text not null,
  subject_id text not null,
  -- Null: it was judged for the first time.
  from_state text check (from_state in ('lost', 'failing', 'late', 'not_set_up', 'ok')),
  to_state text not null check (to_state in ('lost', 'failing', 'late', 'not_set_up', 'ok')),
  reason text not null,
  at timestamptz not null default clock_timestamp()
);
create index health_changes_subject on health_changes (subject_kind, subject_id, id);
create index health_changes_at on health_changes (at);

-- When each look was last taken: one that is taken twice counts once.
create table health_looks (
  look text primary key,
  looked_at timestamptz not null
);

-- When its worker last completed something, as the worker says; and the share of its data folder's disk that is free.
alter table machines add column progress_at timestamptz, add column disk_free real check (disk_free between 0 and 1);
-- Runs that brought nothing, as they come: whose agents must be looked at.
create index runs_barren on runs (ended_at) where state in ('failed', 'empty');
-- Time in which it was paused, or had another cadence, is no silence of the agent.
alter table agents add column resumed_at timestamptz;
