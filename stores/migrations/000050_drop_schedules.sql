-- Who composes drops when, what became of each time that came, and how far the replies to what was posted are read.

create table drop_schedules (
  id text primary key,
  owner_id text not null references users (id),
  -- Whose reflections: exactly one.
  agent_id text references agents (id),
  cluster_id text references clusters (id),
  guild_id text references guilds (id),
  -- Local times, HH:MM.
  times text[] not null check (cardinality(times) between 1 and 24),
  -- 1 is Monday.
  weekdays smallint[] not null check (cardinality(weekdays) between 1 and 7),
  time_zone text not null,
  jitter_minutes integer not null check (jitter_minutes between 0 and 720),
  quiet_from text,
  quiet_to text,
  per_day integer not null check (per_day between 1 and 24),
  paused boolean not null default false,
  -- Of its last time: why nothing came of it.
  note text not null default '',
  next_at timestamptz not null,
  created_at timestamptz not null default now(),
  check (num_nonnulls(agent_id, cluster_id, guild_id) = 1),
  check ((quiet_from is null) = (quiet_to is null))
);
create index drop_schedules_due on drop_schedules (next_at) where not paused;
create index drop_schedules_owner on drop_schedules (owner_id, id);

create table drop_schedule_channels (
  schedule_id text not null references drop_schedules (id) on delete cascade,
  channel_id text not null references channels (id),
  primary key (schedule_id, channel_id)
);
create index drop_schedule_channels_channel on drop_schedule_channels (channel_id);

create table compositions (
  -- Also the work that a machine's result is kept under.
  id text primary key,
  owner_id text not null references users (id),
  schedule_id text not null references drop_schedules (id) on delete cascade,
  -- The time that came.
  period timestamptz not null,
  state text not null default 'composing' check (state in ('composing', 'composed', 'empty', 'capped', 'failed')),
  reason text not null default '',
  -- Who speaks, and the reflections it may speak of.
  agent_id text references agents (id),
  reflections text[] not null default '{}',
  drop_id text references drops (id) on delete set null,
  -- When the drop goes out: the local day counts for the cap.
  publish_at timestamptz not null,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  unique (schedule_id, period),
  check ((ended_at is null) = (state = 'composing'))
);
create index compositions_drop on compositions (drop_id);

-- How often replies to a post were looked for: less often as it grows old.
alter table deliveries add column replies_read_at timestamptz;
create index deliveries_replies on deliveries (ended_at) where state = 'published' and remote_id is not null;
