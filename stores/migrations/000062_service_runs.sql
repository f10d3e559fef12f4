-- Services that this fleet starts and stops itself; one that nobody ever asked to start has no row here and is only watched.
create table service_runs (
  service_id text primary key references services (id),
  owner_id text not null references users (id),
  wanted text not null check (wanted in ('running', 'stopped')),
  -- The request that may act on it: a later one takes it over, and what the earlier one still does then is refused.
  request_id text not null,
  action text not null check (action in ('start', 'stop', 'restart')),
  -- Of the request: started from the lowest wave up, stopped from the highest down.
  wave integer not null,
  state text not null check (state in ('waiting', 'starting', 'started', 'stopping', 'stopped', 'failed')),
  reason text not null default '',
  -- The machine that runs it, or may: written before anything is started there, cleared once it is stopped there.
  machine_id text references machines (id),
  -- Of that machine's lease when it took the service.
  epoch bigint,
  changed_at timestamptz not null default now()
);
create index service_runs_owner on service_runs (owner_id);
create index service_runs_machine on service_runs (machine_id) where machine_id is not null;
create index service_runs_request on service_runs (request_id, wave);
