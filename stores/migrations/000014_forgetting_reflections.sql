-- A reflection that quotes what a person asked to forget loses its text, too; the row says so.

alter table reflections
  add column forgotten_at timestamptz,
  drop constraint reflections_text_check,
  add check (text <> '' or forgotten_at is not null);
