-- Who asked the API for which write, and what became of it. A write has two rows of one request: `begun`, committed before
-- anything of it is done, and `ended`, written before it is answered; one that was refused for its role or its sign-in has one.
-- Ids, never what was sent.
create table audit_entries (
  -- Of the request; it sorts by time.
  id text not null,
  phase text not null check (phase in ('begun', 'ended', 'refused')),
  at timestamptz not null default clock_timestamp(),
  -- Whose log it stands in: who runs the installation that the actor belongs to. Null: nobody had been there yet.
  owner_id text references users (id),
  -- Null: nobody had signed in. No reference to the token: it is deleted when it has ended, and this stays.
  actor_id text,
  token_id text,
  -- How they came.
  actor_kind text check (actor_kind in ('bearer', 'session')),
  role text check (role in ('operator', 'creator', 'member', 'reader')),
  service_id text,
  method text,
  route text,
  -- Ids of what it was about: those of the address when it begins, the one that was made when it ends.
  subjects text[] not null default '{}',
  status integer,
  primary key (id, phase),
  check ((phase = 'begun') = (status is null)),
  check ((phase = 'ended') = (route is null)),
  check ((route is null) = (method is null))
);
create index audit_entries_owner on audit_entries (owner_id, id) where phase <> 'ended';
create index audit_entries_subjects on audit_entries using gin (subjects);
create index audit_entries_at on audit_entries (at);

-- Deleted is by retention alone, which says so for its own transaction.
create function refuse_change_of_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('soulfra.retention', true) = 'audit' then
    return old;
  end if;
  raise exception 'audit_entries are append-only' using errcode = 'restrict_violation';
end $$;
create trigger audit_entries_append_only before update or delete on audit_entries
  for each row execute function refuse_change_of_audit();
create trigger audit_entries_not_emptied before truncate on audit_entries
  for each statement execute function refuse_change_of_audit();

-- All that a token may, of what its role may; null: everything.
alter table tokens add column scopes text[] check (cardinality(scopes) > 0);

alter table health drop constraint health_subject_kind_check;
alter table health add constraint health_subject_kind_check check (subject_kind in
  ('agent', 'machine', 'worker', 'model_server', 'schedule', 'channel', 'ledger', 'disk', 'backup', 'certificate', 'service', 'token'));
