-- Conversations: what is said to agents, what they answer, and on which memories it rests.

create table messages (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  -- A name that messages of one conversation share; earlier turns are read by it.
  conversation_id text not null,
  -- The token it came with, and who speaks as the agent is told.
  author_id text not null,
  author text not null,
  text text not null,
  -- Of all that was asked under this id: other content under the same key is refused.
  content_hash text not null,
  state text not null default 'received' check (state in ('received', 'answering', 'answered', 'failed', 'canceled')),
  reason text not null default '',
  -- The agent's own model, and the model and queue of the rung it stands on.
  wanted_model_id text not null,
  model_id text not null,
  queue text not null,
  degraded boolean not null default false,
  machine_id text references machines (id),
  attempt integer not null default 0,
  answer text not null default '',
  source text check (source in ('model', 'extractive')),
  prompt_version text,
  seed bigint,
  tokens integer,
  seconds double precision,
  -- What the agent keeps of it; null where it was retired meanwhile.
  said_memory_id text references memories (id),
  reply_memory_id text references memories (id),
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  check ((state in ('answered', 'failed', 'canceled')) = (ended_at is not null)),
  check (state <> 'answered' or source is not null)
);
create index messages_agent on messages (agent_id, created_at desc, id desc);
create index messages_conversation on messages (conversation_id, created_at desc);
create index messages_open on messages (created_at) where ended_at is null;
create index messages_said on messages (said_memory_id) where said_memory_id is not null;
create index messages_reply on messages (reply_memory_id) where reply_memory_id is not null;

create table message_citations (
  message_id text not null references messages (id) on delete cascade,
  ordinal smallint not null,
  -- How the answer's text names it, such as m3.
  alias text not null,
  memory_id text not null references memories (id),
  primary key (message_id, ordinal),
  unique (message_id, memory_id)
);
create index message_citations_memory on message_citations (memory_id);

-- Whoever waits for an answer reads its row again.
create function notify_messages() returns trigger language plpgsql as $$
begin
  perform pg_notify('messages', '');
  return null;
end $$;
create trigger messages_notify after insert or update on messages for each statement execute function notify_messages();
