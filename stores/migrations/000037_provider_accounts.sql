-- Whose account at a provider the books are of, and in which mode: written by the first call, and for good. What was sold in
-- test mode stands on the same accounts as everything else, so books that began in test mode never see live money.
create table provider_accounts (
  provider text primary key check (provider in ('stripe')),
  -- Who runs the installation: it has one key of each provider.
  owner_id text not null references users (id),
  account text not null,
  live boolean not null,
  bound_at timestamptz not null default now()
);

-- Of the event itself, as the provider signed it.
alter table payment_events add column live boolean not null default false;
alter table payment_events alter column live drop default;
-- A connected account's; null: the installation's own.
alter table payment_events add column account text;
