-- Boxes that join the fleet from elsewhere: invitations, and every certificate that our authority has signed.

create table machine_invites (
  id text primary key,
  owner_id text not null references users (id),
  machine_id text not null references machines (id),
  -- SHA-256 of the secret, which is shown once.
  hash bytea not null unique check (octet_length(hash) = 32),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- SHA-256 of the key that it was used for, hex: only that one may ask again, as its answer may have been lost.
  key_hash text check (key_hash ~ '^[0-9a-f]{64}$'),
  used_at timestamptz,
  revoked_at timestamptz,
  check ((key_hash is null) = (used_at is null))
);
create index machine_invites_owner on machine_invites (owner_id, id desc);
create index machine_invites_machine on machine_invites (machine_id);

create table certificates (
  -- Lower-case hex.
  serial text primary key check (serial ~ '^[0-9a-f]{1,40}$'),
  owner_id text not null references users (id),
  kind text not null check (kind in ('authority', 'server', 'machine')),
  -- Of the authority that signed it; of an authority its own.
  generation integer not null check (generation >= 1),
  machine_id text references machines (id),
  -- Of a machine: what let it in; renewals carry it on.
  invite_id text references machine_invites (id),
  key_hash text check (key_hash ~ '^[0-9a-f]{64}$'),
  -- PEM; nothing of it is secret.
  certificate text not null,
  issued_at timestamptz not null default now(),
  not_after timestamptz not null,
  revoked_at timestamptz,
  check ((kind = 'machine') = (machine_id is not null)),
  check ((kind = 'machine') = (invite_id is not null)),
  check ((kind = 'machine') = (key_hash is not null))
);
create index certificates_owner on certificates (owner_id, issued_at desc, serial desc);
create index certificates_machine on certificates (machine_id, issued_at desc) where machine_id is not null;
create index certificates_invite on certificates (invite_id) where invite_id is not null;

-- Connections that the edge turned away, by why.
create table edge_refusals (
  reason text primary key check (reason in ('plain', 'untrusted', 'revoked', 'unknown_name', 'crowded', 'handshake', 'unanswered')),
  refused bigint not null,
  last_at timestamptz not null
);
