-- People who sign up by mailed link, and the mail that is sent to them.

alter table users
  -- Whose installation they belong to; null: who runs one.
  add column operator_id text references users (id),
  -- As domain/mail-addresses.ts writes it; gone with who it was of.
  add column address text check (address = lower(address) and address !~ '[[:space:][:cntrl:]]'),
  -- When a link that was mailed to the address came back.
  add column verified_at timestamptz,
  add column deleted_at timestamptz,
  add constraint users_verified_address check (verified_at is null or address is not null or deleted_at is not null),
  add constraint users_deleted_address check (deleted_at is null or address is null);
-- Partial, so that it is no key for others: a deletion then waits for nobody who only names the user.
create unique index users_address on users (address) where address is not null;
create index users_operator on users (operator_id, id) where operator_id is not null;

-- What is to be mailed, written in the transaction that causes it; sendMail carries it out.
create table mails (
  id text primary key,
  -- Who runs the installation that sends it.
  owner_id text not null references users (id),
  -- Whom it is to; null until a link that was asked for is known to be for somebody.
  user_id text references users (id),
  -- What makes two of them the same mail.
  key text not null unique,
  template text not null check (template in ('sign_in', 'invite', 'receipt')),
  template_version integer not null,
  -- What the template says; never a secret.
  data jsonb not null default '{}',
  -- Gone with the user.
  address text check (address !~ '[[:space:][:cntrl:]]'),
  state text not null default 'pending' check (state in ('pending', 'sending', 'sent', 'failed', 'unconfirmed')),
  reason text not null default '',
  -- How often a person asked for it to be sent again.
  resends integer not null default 0,
  queued_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((ended_at is null) = (state in ('pending', 'sending')))
);
create index mails_owner on mails (owner_id, id);
create index mails_user on mails (user_id) where user_id is not null;
create index mails_ended on mails (ended_at) where ended_at is not null;

create table mail_attempts (
  mail_id text not null references mails (id) on delete cascade,
  attempt integer not null,
  -- Since which asking for it again, 0 for the first sending.
  resend integer not null,
  -- Committed before a byte of the mail leaves.
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  -- Null while it is under way, or where whoever made it has died.
  outcome text check (outcome in ('accepted', 'deferred', 'refused', 'not_sent', 'unconfirmed')),
  -- Of the other server, or what broke.
  answer text not null default '',
  primary key (mail_id, attempt),
  check ((ended_at is null) = (outcome is null))
);

alter table tokens
  -- Sign-in links that were mailed: what shows that the address is theirs.
  add column mail_id text;
