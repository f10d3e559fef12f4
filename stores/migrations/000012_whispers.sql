-- Whispers (requests for a new persona), the buckets that admit them, and who retired an agent.

create table whispers (
  id text primary key,
  owner_id text not null references users (id),
  source text not null check (source in ('api', 'reply', 'guild', 'source', 'cluster')),
  parent_id text not null references agents (id),
  lineage_id text not null references agents (id),
  text text not null check (text <> ''),
  state text not null check (state in ('received', 'awaiting_approval', 'spawned', 'refused', 'expired')),
  reason_code text not null default '',
  reason text not null default '',
  retry_of text references whispers (id),
  requested_by text not null,
  -- What makes two requests the same, and what the first one held.
  request_id text not null,
  body_hash bytea not null,
  received_at timestamptz not null,
  -- Only an admitted whisper has a workflow; while it is open it counts as the agent it may become.
  admitted_at timestamptz,
  -- The draft that is worked on, and the name it has taken.
  draft integer not null default 0,
  name text,
  persona_source text check (persona_source in ('model', 'extractive')),
  model_id text,
  prompt_version text,
  nearest_id text references agents (id),
  nearest_cosine double precision,
  -- When the draft was compared with all personas; those born since are looked at again in the birth.
  judged_at timestamptz,
  judged_by text,
  -- From then on its demand counts against the cards.
  room_at timestamptz,
  deadline timestamptz,
  agent_id text unique references agents (id),
  ended_at timestamptz,
  unique (owner_id, request_id),
  check ((state in ('spawned', 'refused', 'expired')) = (ended_at is not null)),
  check ((state = 'spawned') = (agent_id is not null)),
  check ((state in ('refused', 'expired')) = (reason_code <> '')),
  check (state = 'refused' or admitted_at is not null)
);
create index whispers_lineage on whispers (lineage_id, admitted_at) where state in ('received', 'awaiting_approval', 'spawned');
create index whispers_open on whispers (parent_id) where state in ('received', 'awaiting_approval');
create index whispers_ended on whispers (ended_at) where state in ('refused', 'expired');
-- A name is taken from the first draft on, so that two under way never carry the same.
create unique index whispers_name on whispers (name) where state in ('received', 'awaiting_approval');

-- Token buckets of admission: one of the whole fleet (key `*`), one a lineage.
create table spawn_buckets (
  owner_id text not null references users (id),
  key text not null,
  tokens double precision not null check (tokens >= 0),
  refilled_at timestamptz not null,
  primary key (owner_id, key)
);

alter table agents add column retired_by text check (retired_by in ('file', 'operator'));
update agents set retired_by = 'file' where state = 'retired';
alter table agents add check ((state = 'retired') = (retired_by is not null));
