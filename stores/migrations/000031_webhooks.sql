-- Signed events for programs of others: endpoints, their secrets, and each delivery with every try of it.

create table webhooks (
  id text primary key,
  owner_id text not null references users (id),
  url text not null check (length(url) between 8 and 2000),
  types text[] not null check (cardinality(types) > 0),
  state text not null default 'active' check (state in ('active', 'disabled')),
  reason text not null default '',
  created_at timestamptz not null default now()
);
create index webhooks_owner on webhooks (owner_id, id);

create table webhook_secrets (
  id text primary key,
  owner_id text not null references users (id),
  webhook_id text not null references webhooks (id) on delete cascade,
  -- AES-256-GCM under SOULFRA_WEBHOOK_KEY, which is not in the database.
  sealed bytea not null,
  created_at timestamptz not null default now()
);
create index webhook_secrets_webhook on webhook_secrets (webhook_id, id);

create table webhook_events (
  -- The webhook-id of every try.
  id text primary key,
  owner_id text not null references users (id),
  type text not null,
  -- What makes two of them the same event.
  key text not null,
  -- The bytes that are signed and sent.
  body text not null check (octet_length(body) <= 16384),
  created_at timestamptz not null default now(),
  unique (owner_id, key)
);

create table webhook_deliveries (
  id text primary key,
  owner_id text not null references users (id),
  webhook_id text not null references webhooks (id) on delete cascade,
  event_id text not null references webhook_events (id),
  state text not null default 'pending' check (state in ('pending', 'sending', 'delivered', 'failed')),
  reason text not null default '',
  -- How often a person asked for it to be delivered again.
  redeliveries integer not null default 0,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  unique (webhook_id, event_id),
  check ((ended_at is null) = (state in ('pending', 'sending')))
);
create index webhook_deliveries_webhook on webhook_deliveries (webhook_id, id);
create index webhook_deliveries_event on webhook_deliveries (event_id);
create index webhook_deliveries_ended on webhook_deliveries (ended_at) where ended_at is not null;

create table webhook_attempts (
  delivery_id text not null references webhook_deliveries (id) on delete cascade,
  attempt integer not null,
  -- Since which asking for it again, 0 for the first delivery.
  redelivery integer not null,
  -- Committed before a byte leaves.
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  -- What was answered; null: nothing, or not yet.
  status integer,
  reason text not null default '',
  primary key (delivery_id, attempt)
);
