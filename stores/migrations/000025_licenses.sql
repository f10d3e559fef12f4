-- What holders may do with packages: kinds as data, licenses with their terms as they were issued, and each use of them once.
create table license_kinds (
  id text primary key check (id ~ '^[a-z][a-z0-9_]{0,62}$'),
  summary text not null,
  -- null: without limit.
  uses integer check (uses >= 1),
  activations integer check (activations >= 0),
  seats integer check (seats >= 1),
  term_seconds bigint check (term_seconds >= 1),
  grace_seconds bigint not null check (grace_seconds >= 0),
  transferable boolean not null,
  commercial boolean not null
);
insert into license_kinds (id, summary, uses, activations, seats, term_seconds, grace_seconds, transferable, commercial) values
  ('single_use', 'One redemption.', 1, 0, null, null, 0, false, false),
  ('personal', 'One person, on up to three machines.', null, 3, 1, null, 0, false, false),
  ('commercial', 'Five people at work, for a year, on any of their machines; may be passed on.', null, null, 5, 31536000, 1209600, true, true),
  ('unlimited', 'Any number of people and machines, for ever.', null, null, null, null, 0, false, true);

create table licenses (
  id text primary key,
  -- Who holds it.
  owner_id text not null references users (id),
  -- Whose key signs its files, and who may suspend and revoke it.
  issuer_id text not null references users (id),
  kind text not null references license_kinds (id),
  -- SHA-256 of the package's content, hex.
  package_hash text not null check (package_hash ~ '^[0-9a-f]{64}$'),
  -- null: given by hand. A purchase has one license, however often its steps are tried.
  purchase_id text unique,
  state text not null default 'pending' check (state in ('pending', 'active', 'suspended', 'revoked', 'expired', 'used_up')),
  -- Why it is suspended, each cause once: it is active again when the last one is gone.
  suspended_by text[] not null default '{}',
  -- The terms of its kind as they were.
  uses_limit integer check (uses_limit >= 1),
  uses integer not null default 0 check (uses >= 0 and (uses_limit is null or uses <= uses_limit)),
  activations_limit integer,
  seats_limit integer,
  term_seconds bigint,
  grace_seconds bigint not null,
  transferable boolean not null,
  commercial boolean not null,
  issued_at timestamptz not null default now(),
  starts_at timestamptz,
  expires_at timestamptz,
  -- How often it was transferred.
  holding integer not null default 0,
  -- Until when a file of this holding may hold offline: as long must a revocation be listed.
  files_until timestamptz,
  check ((state = 'suspended') = (cardinality(suspended_by) > 0)),
  check (starts_at is not null or state in ('pending', 'revoked')),
  check (expires_at is null or starts_at is not null)
);
create index licenses_owner on licenses (owner_id, id);
create index licenses_issuer on licenses (issuer_id, id);
create index licenses_term on licenses (expires_at) where state = 'active' and expires_at is not null;
create index licenses_barred on licenses (issuer_id, files_until) where state in ('revoked', 'suspended');

create table license_events (
  id text primary key,
  license_id text not null references licenses (id),
  -- Who held it then.
  owner_id text not null references users (id),
  change text not null check (change in
    ('issued', 'activated', 'suspended', 'revoked', 'reinstated', 'extended', 'transferred', 'used_up', 'expired')),
  from_state text,
  to_state text not null,
  -- Token, purchase or part of Soulfra that did it.
  actor text not null,
  reason text not null,
  data jsonb not null default '{}',
  -- Of a transfer: the holding that ended, and until when its files may hold.
  holding integer,
  files_until timestamptz,
  at timestamptz not null default now()
);
create index license_events_license on license_events (license_id, id);
create index license_events_ended_holdings on license_events (files_until) where files_until is not null;
create function refuse_change_of_license_events() returns trigger language plpgsql as $$
begin
  raise exception 'license_events are append-only' using errcode = 'restrict_violation';
end $$;
create trigger license_events_append_only before update or delete on license_events
  for each row execute function refuse_change_of_license_events();
create trigger license_events_not_emptied before truncate on license_events
  for each statement execute function refuse_change_of_license_events();

create table redemptions (
  license_id text not null references licenses (id),
  -- The holder's own: the same one again is the same use.
  id text not null,
  owner_id text not null references users (id),
  -- The how-manieth use it was.
  use_number integer not null,
  actor text not null,
  redeemed_at timestamptz not null default now(),
  primary key (license_id, owner_id, id),
  unique (license_id, use_number)
);

create table activations (
  license_id text not null references licenses (id),
  -- The holder's own: the same one again is the same activation.
  id text not null,
  owner_id text not null references users (id),
  -- What the caller calls the machine it is in use on.
  place text not null,
  seat text not null,
  actor text not null,
  activated_at timestamptz not null default now(),
  ended_at timestamptz,
  files_until timestamptz,
  primary key (license_id, owner_id, id)
);
create index activations_live on activations (license_id, seat) where ended_at is null;
create index activations_ended on activations (files_until) where ended_at is not null and files_until is not null;

create table license_usage (
  license_id text not null references licenses (id),
  owner_id text not null references users (id),
  -- UTC.
  day date not null,
  redemptions integer not null default 0,
  activations integer not null default 0,
  files integer not null default 0,
  primary key (license_id, owner_id, day)
);
