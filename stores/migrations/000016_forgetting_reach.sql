-- What forgetting reaches besides memories: the whisper that a memory tells, and items of a source that bring the same words
-- under another id.

alter table whispers
  add column forgotten_at timestamptz,
  drop constraint whispers_text_check,
  add check (text <> '' or forgotten_at is not null);

alter table source_states
  -- Of the hashes of what is forgotten: without it they tell nothing, and they are like no other hash of the same text.
  add column forgotten_key bytea;
alter table source_items
  -- Of the words that a person had forgotten, under the key of their source.
  add column forgotten_hash bytea;

-- Which memories have a text, for the vectors of it.
create index memories_content on memories (owner_id, content_hash);
