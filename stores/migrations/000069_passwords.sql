-- Of users who set one; the others sign in by mailed links alone, and so may these.
create table passwords (
  user_id text primary key references users (id),
  owner_id text not null references users (id),
  -- Argon2id with its salt and cost, as PHC writes it.
  hash text not null check (hash like '$argon2id$%'),
  changed_at timestamptz not null default clock_timestamp()
);

-- Wrong tries, by account and by network, also of addresses that nobody has.
create table password_tries (
  -- SHA-256 of what is counted: no address stands here.
  key bytea primary key,
  failures integer not null,
  -- When the first of them was made that is not forgotten yet, or of which one was forgotten last.
  tried_at timestamptz not null,
  locked_until timestamptz
);
create index password_tries_at on password_tries (tried_at);

-- Whether it was made by signing in, not for a program: these end when the password changes.
alter table tokens add column signed_in boolean not null default false;
-- Programs that signed in have what a link or an invitation was swapped for, by its name.
update tokens set signed_in = true
  where kind = 'session' or (kind = 'bearer' and service_id is null and name in ('mailed link', 'invitation'));

alter table mails drop constraint mails_template_check,
  add constraint mails_template_check check (template in
    ('sign_in', 'invite', 'receipt', 'refund_notice', 'dispute_notice', 'guild_invite', 'password_notice'));
