-- Webhooks: what their senders sign with, and what an event says of its own importance.

create table source_secrets (
  id text primary key,
  owner_id text not null references users (id),
  source_id text not null,
  -- AES-256-GCM under SOULFRA_SECRET_KEY, which is not in the database; gone once revoked.
  sealed bytea,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz,
  check ((sealed is null) = (revoked_at is not null))
);
create index source_secrets_live on source_secrets (source_id) where revoked_at is null;

alter table source_items
  -- null: as its source says.
  add column importance smallint check (importance between 1 and 10);
