-- Myth drops: where they go (channels), what they say (drops), each drop on each channel with every try of it (deliveries).

create table channels (
  id text primary key,
  owner_id text not null references users (id),
  -- Which kinds there are is said in domain/channel-kinds.ts, and nowhere else.
  kind text not null check (kind ~ '^[a-z][a-z_]{1,30}$'),
  name text not null check (length(name) between 1 and 80),
  settings jsonb not null,
  -- AES-256-GCM under SOULFRA_WEBHOOK_KEY, which is not in the database; null: the kind has no secrets, or it was removed.
  sealed bytea,
  -- Since when they are these: others may be of another account.
  secrets_at timestamptz not null default now(),
  -- What its server gave us to go on with, such as a session; sealed likewise.
  session bytea,
  -- What the limits of its server are counted on: a row of destinations.
  destination text not null,
  -- Texts of the built-in default, and of a smaller model than the agent's.
  allow_extractive boolean not null default false,
  allow_degraded boolean not null default false,
  stage text not null default 'dry_run' check (stage in ('dry_run', 'approval', 'free')),
  stopped_at timestamptz,
  stop_reason text not null default '',
  removed_at timestamptz,
  created_at timestamptz not null default now()
);
create unique index channels_name on channels (owner_id, name) where removed_at is null;
create index channels_owner on channels (owner_id, id);

create table destinations (
  owner_id text not null references users (id),
  key text not null,
  -- Nothing is sent there before it: what Retry-After and its like have said.
  not_before timestamptz not null default now(),
  reason text not null default '',
  -- The next free place in the row of posts that are on time, and of those that are late.
  next_slot timestamptz not null default now(),
  next_late_slot timestamptz not null default now(),
  -- When the last attempt there was begun: places say when to come, this keeps them apart.
  last_at timestamptz,
  primary key (owner_id, key)
);

-- One row an owner, there from their first channel on.
create table drop_stops (
  owner_id text primary key references users (id),
  -- Null: posts go out.
  stopped_at timestamptz,
  reason text not null default ''
);

create table drops (
  id text primary key,
  owner_id text not null references users (id),
  -- Who speaks; null: a person's own words.
  agent_id text references agents (id),
  state text not null default 'draft' check (state in ('draft', 'awaiting_approval', 'scheduled', 'publishing', 'published', 'partly_published', 'failed', 'canceled')),
  title text not null check (length(title) <= 200),
  body text not null check (body <> ''),
  -- In place of the body, by kind of channel.
  bodies jsonb not null default '{}',
  narration text not null default '',
  -- Ids of the reflections it rests on; not a key, so that a reflection can be forgotten.
  evidence text[] not null default '{}',
  source text not null default 'person' check (source in ('person', 'model', 'extractive')),
  degraded boolean not null default false,
  -- Counts edits.
  version integer not null default 1,
  -- Hash of what the request that made it asked for.
  content_hash text not null,
  publish_at timestamptz,
  approved_at timestamptz,
  approved_by text,
  -- Why it ended as it did, or what it waits for.
  reason text not null default '',
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((ended_at is null) = (state in ('draft', 'awaiting_approval', 'scheduled', 'publishing'))),
  check (state not in ('scheduled', 'publishing') or publish_at is not null)
);
create index drops_owner on drops (owner_id, id);
create index drops_due on drops (publish_at) where state = 'scheduled';

create table drop_channels (
  drop_id text not null references drops (id) on delete cascade,
  channel_id text not null references channels (id),
  primary key (drop_id, channel_id)
);
create index drop_channels_channel on drop_channels (channel_id);

create table deliveries (
  id text primary key,
  owner_id text not null references users (id),
  drop_id text not null references drops (id) on delete cascade,
  channel_id text not null references channels (id),
  state text not null default 'pending' check (state in ('pending', 'sending', 'published', 'failed', 'unconfirmed')),
  -- How often a person has said `post again`.
  again integer not null default 0,
  -- The channel was in dry run: everything was done but the sending.
  rehearsal boolean not null default false,
  -- As it leaves, the same at every attempt; null before the first.
  text text,
  due_at timestamptz not null,
  -- Its place in the row of its destination.
  slot_at timestamptz,
  reason text not null default '',
  -- Where the post is, and what its server calls it.
  url text,
  remote_id text,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  unique (drop_id, channel_id),
  check ((ended_at is null) = (state in ('pending', 'sending')))
);
create index deliveries_channel on deliveries (channel_id, id);
create index deliveries_owner on deliveries (owner_id, id);
create index deliveries_ended on deliveries (ended_at) where ended_at is not null;

create table delivery_attempts (
  delivery_id text not null references deliveries (id) on delete cascade,
  attempt integer not null,
  -- Since which `post again`, 0 for the first delivery.
  again integer not null,
  -- Committed before a byte leaves.
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  -- deferred: surely not taken. unknown: bytes left, and nobody knows.
  outcome text check (outcome in ('published', 'deferred', 'refused', 'unknown')),
  -- What was answered; null: nothing, or not yet.
  status integer,
  reason text not null default '',
  primary key (delivery_id, attempt),
  check ((ended_at is null) = (outcome is null))
);
