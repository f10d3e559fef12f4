-- Memories that a weaving could not work on: the period that passed them over, and why. The next period tries them again.
alter table unwoven_memories
  add column passed_over timestamptz,
  add column reason text not null default '';
create index unwoven_memories_passed_over on unwoven_memories (owner_id) where passed_over is not null;
