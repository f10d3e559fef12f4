-- What goes back of a purchase, by credits or through a provider, in one table: a caller sees all of it in one list.
create table refunds (
  id text primary key,
  -- Whose books it goes through.
  owner_id text not null references users (id),
  purchase_id text not null references purchases (id),
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  reason text not null,
  -- Given back although the license was used or passed on.
  forced boolean not null default false,
  -- By credits it is done at once; a provider is asked once the row is there, or tells of one that was made there.
  state text not null check (state in ('pending', 'done', 'failed')),
  provider_refund_id text unique,
  -- Of the amount: what was left of the sale when it was given back. The rest is the platform's loss.
  posted bigint not null default 0 check (posted between 0 and amount),
  failure text not null default '',
  -- null: nobody asked for it here.
  request_hash bytea,
  made_by text not null,
  made_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'pending') = (ended_at is null))
);
create index refunds_owner on refunds (owner_id, made_at desc, id desc);
create index refunds_purchase on refunds (purchase_id, made_at desc, id desc);
-- Ids are made of the caller's keys, and say nothing of time.
create index purchases_begun on purchases (owner_id, created_at desc, id desc);
create index purchases_sold on purchases (seller_id, created_at desc, id desc);
drop index purchases_owner;
drop index purchases_seller;

insert into refunds (id, owner_id, purchase_id, amount, currency, reason, forced, state, posted, request_hash, made_by, made_at, ended_at)
  select r.id, p.books_id, r.purchase_id, r.amount, p.currency, r.reason, r.forced, 'done', r.amount, r.request_hash, r.made_by, r.at, r.at
  from purchase_refunds r join purchases p on p.id = r.purchase_id;
insert into refunds (id, owner_id, purchase_id, amount, currency, reason, state, provider_refund_id, posted, failure, made_by, made_at, ended_at)
  select id, owner_id, purchase_id, amount, currency, reason, state, provider_refund_id, posted, failure, made_by, made_at, ended_at
  from provider_refunds;
drop table purchase_refunds;
drop table provider_refunds;
