-- Memories come from other fleets and go there: with what has become of them, and with what they rest on.

alter table memories
  drop constraint memories_check,
  -- What took its place may come later than the memory itself, or never.
  add check (superseded_by is null or superseded_at is not null);

alter table reflections
  -- What came from elsewhere was made by no run and on no machine of this fleet.
  alter column run_id drop not null,
  alter column machine_id drop not null;
