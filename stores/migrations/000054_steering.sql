-- What the worker of each machine last wrote down of its host: what soulfra doctor elsewhere goes by.
create table machine_reports (
  machine_id text primary key references machines (id) on delete cascade,
  report jsonb not null,
  reported_at timestamptz not null default now()
);

-- Why a machine gives its GPUs to their owner now; null: it does not.
alter table machines add column yields text;
