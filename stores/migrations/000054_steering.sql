-- What the worker of each machine last wrote down of its host: what soulfra doctor elsewhere goes by.
create table machine_reports (
  machine_id text primary key references machines (id) on delete cascade,
  report jsonb not null,
  reported_at timestamptz not null default now()
);

-- Why a machine gives its GPUs to their owner now; null: it does not.
alter table machines add column yields text;

-- Tokens that models wrote, by inference step: one row however often the step runs. tokens null: reserved, the call is under way.
create table token_spends (
  key text primary key,
  owner_id text not null references users (id),
  agent_id text not null,
  archetype text not null,
  service text,
  day date not null,
  reserved integer not null check (reserved >= 0),
  tokens integer check (tokens >= 0),
  -- That have reserved it and not given it up.
  attempts integer not null default 1
);
create index token_spends_day on token_spends (day);

-- What was reserved and spent in a day (UTC); a row is counted up and checked in one statement, so calls at once see each other.
create table token_days (
  owner_id text not null references users (id),
  day date not null,
  scope text not null check (scope in ('agent', 'archetype', 'service')),
  subject text not null,
  tokens bigint not null default 0,
  primary key (owner_id, day, scope, subject)
);
