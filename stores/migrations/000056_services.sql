-- Services of the owner: processes that are not ours, described in fleet.d/*.yaml (domain/services.ts), placed with the agents.
create table services (
  id text primary key,
  owner_id text not null references users (id),
  -- As the files describe it, checked.
  spec jsonb not null,
  -- Where the plan puts it; null: nowhere, and the reason says why.
  machine_id text references machines (id),
  placed_because text not null default '',
  state text not null default 'unknown' check (state in ('unknown', 'starting', 'up', 'down', 'stopped')),
  reason text not null default '',
  changed_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  -- No file names it any more.
  retired_at timestamptz
);
create index services_owner on services (owner_id);
create index services_machine on services (machine_id);

-- The files of fleet.d/ that were applied with this version, as they came: an undo and an export need them.
alter table fleet_versions add column service_files jsonb not null default '[]';

-- A token of a service opens what services are for, and nothing else.
alter table tokens add column service_id text references services (id);
