-- Texts that a model gave no usable vector for, and indexes that deletes and retention walk by.

create table unusable_texts (
  owner_id text not null references users (id),
  model text not null,
  content_hash bytea not null,
  -- Asked again once this is a week old: the model's server may have been mended.
  marked_at timestamptz not null default now(),
  primary key (owner_id, model, content_hash)
);

create index memories_successor on memories (superseded_by) where superseded_by is not null;
create index whispers_retry on whispers (retry_of) where retry_of is not null;
create index agent_drift_rating on agent_drift (rating_id);
