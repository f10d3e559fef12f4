-- Telling people: what a notice is about beside its subject, and what each destination was told of it.

alter table notices
  -- What its act names beside the subject, such as the delivery that failed.
  add column about text not null default '';
create index notices_owner_resolved on notices (owner_id, resolved_at);

-- One message to one destination of fleet.yaml, committed before a byte of it leaves.
create table notifications (
  id text primary key,
  owner_id text not null references users (id),
  -- Id in notify.destinations.
  destination text not null,
  -- notices: what was opened, closed or is still open. digest: of a day. test: asked for by a person.
  kind text not null check (kind in ('notices', 'digest', 'test')),
  -- What makes two of them the same, such as the day of a digest.
  key text not null,
  -- Its words, frozen: every try says the same.
  content jsonb not null,
  state text not null default 'pending' check (state in ('pending', 'sending', 'sent', 'failed')),
  -- Of the last try that did not arrive.
  reason text not null default '',
  attempts integer not null default 0,
  created_at timestamptz not null default now(),
  -- Since when a try is under way.
  began_at timestamptz,
  ended_at timestamptz,
  unique (owner_id, destination, key),
  check ((ended_at is null) = (state in ('pending', 'sending'))),
  check (state <> 'sending' or began_at is not null)
);
create index notifications_owner on notifications (owner_id, id);
create index notifications_ended on notifications (ended_at) where ended_at is not null;
create index notifications_under_way on notifications (created_at) where ended_at is null;
-- What a day came to: runs are kept for years.
create index runs_ended on runs (owner_id, ended_at) where ended_at is not null;
-- What comes meanwhile waits for the one under way, and is then told together.
create unique index notifications_one_open on notifications (owner_id, destination)
  where kind = 'notices' and state in ('pending', 'sending');

-- Which notice a message told of: each opening once, each end once, each reminder once.
create table notification_items (
  notification_id text not null references notifications (id) on delete cascade,
  owner_id text not null references users (id),
  destination text not null,
  notice_id text not null references notices (id) on delete cascade,
  what text not null check (what in ('opened', 'reminder', 'resolved')),
  -- Of reminders, counted from 1; else 0.
  round integer not null default 0,
  told_at timestamptz not null default now(),
  primary key (notice_id, destination, what, round)
);
create index notification_items_message on notification_items (notification_id);
