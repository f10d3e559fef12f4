-- What an owner signs with: licenses, revocation lists, loop packages. Old keys stay, to verify by.
create table signing_keys (
  -- key_ and the first 16 bytes of the SHA-256 of the public key: a key has one name wherever it goes.
  id text primary key check (id ~ '^key_[0-9a-f]{32}$'),
  owner_id text not null references users (id),
  -- Ed25519, as it is (RFC 8032).
  public_key bytea not null check (octet_length(public_key) = 32),
  -- file: the private half is in a file secret of the API and never here.
  source text not null check (source in ('sealed', 'file')),
  -- AES-256-GCM under SOULFRA_SECRET_KEY, which is not in the database; gone once retired.
  sealed bytea,
  made_at timestamptz not null default now(),
  retired_at timestamptz,
  check ((sealed is not null) = (source = 'sealed' and retired_at is null))
);
-- One signs; two that make the first at once make one.
create unique index signing_keys_live on signing_keys (owner_id) where retired_at is null;
create index signing_keys_owner on signing_keys (owner_id, id);
