-- What the worker of each machine last wrote down of its host: what soulfra doctor elsewhere goes by.
create table machine_reports (
  machine_id text primary key references machines (id) on delete cascade,
  report jsonb not null,
  reported_at timestamptz not null default now()
);
