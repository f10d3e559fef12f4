-- Memories become bi-temporal and searchable: when a fact held, what replaced it, why it was taken away, its vector.

alter table agents
  -- Counts changes to the agent's memories under the agent's row lock, so that a reader of `rev > n` misses none.
  add column memory_rev bigint not null default 0;

alter table memories
  add column rev bigint not null default 0,
  -- Held true from occurred_at until then; null: still does.
  add column valid_to timestamptz,
  add column superseded_by text references memories (id),
  add column superseded_at timestamptz,
  -- A tombstone: the row stays, so that what rests on it can say so.
  add column deleted_at timestamptz,
  add column deleted_reason text,
  add column last_used_at timestamptz,
  -- SHA-256 of the text: the same text is embedded once.
  add column content_hash bytea,
  add column words tsvector generated always as (to_tsvector('english', text)) stored;

update memories set rev = seq, content_hash = sha256(convert_to(text, 'UTF8'));
update agents set memory_rev = memory_seq;

alter table memories
  alter column content_hash set not null,
  add check ((superseded_by is null) = (superseded_at is null)),
  add check ((deleted_at is null) = (deleted_reason is null)),
  add check (superseded_by <> id),
  add check (valid_to >= occurred_at),
  drop constraint memories_text_check,
  -- Only what a person asked to forget has lost its text.
  add check (text <> '' or deleted_at is not null);
create unique index memories_agent_rev on memories (agent_id, rev);
-- With the agent in it, so that a search never walks through what others remember.
create extension if not exists btree_gin;
create index memories_words on memories using gin (agent_id, words);

-- Vectors by content and model: float32, little-endian, of unit length.
create table embeddings (
  owner_id text not null references users (id),
  model text not null,
  content_hash bytea not null,
  vector bytea not null,
  created_at timestamptz not null default now(),
  primary key (owner_id, model, content_hash)
);
-- Vectors do not compress, and kept in line they cost one read less.
alter table embeddings alter column vector set storage external;
alter table embeddings set (toast_tuple_target = 8160);

-- The model that searches go by, and the one that is to follow it once every memory has its vector.
create table embedding_models (
  owner_id text not null references users (id),
  model text not null,
  -- As fleet.yaml named it, so that it can still be asked while the next one is built.
  settings jsonb not null,
  state text not null check (state in ('serving', 'building')),
  since timestamptz not null default now(),
  primary key (owner_id, model)
);
create unique index embedding_models_one_serving on embedding_models (owner_id) where state = 'serving';
create unique index embedding_models_one_building on embedding_models (owner_id) where state = 'building';

-- Not only runs have steps that a machine works: also answers, personas, judgements.
alter table step_results drop constraint step_results_run_id_fkey;
alter table step_results rename column run_id to work_id;
create index step_results_stored on step_results (stored_at);
