-- Memories of different agents linked into threads: of one event, as echoes, as contradictions.

create table threads (
  id text primary key,
  owner_id text not null references users (id),
  kind text not null check (kind in ('same_event', 'echo', 'contradiction')),
  state text not null default 'live' check (state in ('live', 'ended')),
  ended_by text check (ended_by in ('quiet', 'merged', 'emptied')),
  -- Its title quotes this one of its thread_memories. The text stands nowhere else, so that what is forgotten is forgotten here
  -- too; no foreign key, whose check would wait for the one who is deleting it and waits for the thread.
  title_memory_id text,
  parent_id text references threads (id) on delete set null,
  merged_into text references threads (id) on delete set null,
  score double precision not null default 0,
  memories integer not null default 0,
  agents integer not null default 0,
  -- When the first and the last of its memories happened.
  first_at timestamptz,
  last_at timestamptz,
  opened_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'ended') = (ended_at is not null)),
  check ((ended_at is null) = (ended_by is null))
);
create index threads_owner on threads (owner_id, id);
create index threads_live on threads (owner_id, last_at) where state = 'live';
create index threads_ended on threads (ended_at) where state = 'ended';
create index threads_parent on threads (parent_id);
create index threads_merged on threads (merged_into);

create table thread_memories (
  memory_id text not null references memories (id),
  kind text not null,
  thread_id text not null references threads (id) on delete cascade,
  -- Of its best link.
  score double precision not null,
  joined_at timestamptz not null default now(),
  -- A memory stands in one thread of a kind at the most.
  primary key (memory_id, kind)
);
create index thread_memories_thread on thread_memories (thread_id);

-- The evidence: which memory was linked to which, and why. Both always stand in one thread.
create table thread_links (
  kind text not null,
  memory_id text not null,
  other_id text not null,
  score double precision not null,
  cosine double precision not null,
  overlap double precision not null,
  hours double precision not null,
  opposition jsonb,
  primary key (memory_id, kind, other_id),
  foreign key (memory_id, kind) references thread_memories (memory_id, kind) on delete cascade,
  foreign key (other_id, kind) references thread_memories (memory_id, kind) on delete cascade,
  check ((kind = 'contradiction') = (opposition is not null))
);
create index thread_links_other on thread_links (other_id, kind);

-- What is still to be woven: written with the memory, deleted with its links. No cursor, so nothing commits behind one.
create table unwoven_memories (
  memory_id text primary key references memories (id),
  owner_id text not null references users (id),
  occurred_at timestamptz not null
);
create index unwoven_memories_order on unwoven_memories (owner_id, occurred_at, memory_id);
-- Threads weave what agents lived: not what they made of it, nor what was handed on to them.
create function note_unwoven() returns trigger language plpgsql as $$
begin
  insert into unwoven_memories (memory_id, owner_id, occurred_at)
    select id, owner_id, occurred_at from added
    where kind <> 'reflection' and source <> 'consolidated' and source not like 'inherited:%';
  return null;
end $$;
create trigger memories_unwoven after insert on memories referencing new table as added
  for each statement execute function note_unwoven();
insert into unwoven_memories (memory_id, owner_id, occurred_at)
  select id, owner_id, occurred_at from memories
  where kind <> 'reflection' and source not like 'inherited:%' and deleted_at is null and superseded_at is null;

-- Of all agents by time: what may be linked to what happened then.
create index memories_time on memories (owner_id, occurred_at) where kind <> 'reflection' and deleted_at is null and superseded_at is null;
