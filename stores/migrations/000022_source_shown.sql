-- What a source still shows is known as long as it does, however long nothing of it changes.

alter table source_states
  -- When it was last told in full what the source shows; moved once a day. Null: not since this was counted.
  add column shown_at timestamptz;
alter table source_items
  -- SHA-256 of the part of the source that holds it, such as a file, in hex; null: the source has no parts.
  add column part_hash text;

-- Which part an item came from is known where it is read: folders are read once more, and nothing is told twice.
update source_states set cursor = null where cursor ? 'files';
