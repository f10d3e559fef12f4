-- Who buys: the budget that an owner gives an agent, and what a receipt says was bought.

create table agent_budgets (
  agent_id text not null references agents (id),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- Whose agent it is, and who pays.
  owner_id text not null references users (id),
  -- Minor units in a calendar month (UTC). What is spent is counted from purchases under this row's lock.
  amount bigint not null check (amount between 0 and 9007199254740991),
  made_by text not null,
  changed_at timestamptz not null default now(),
  primary key (agent_id, currency)
);
create index purchases_agent on purchases (buyer_agent_id, currency, created_at) where buyer_agent_id is not null;

-- As the listing called it when the purchase began.
alter table purchases add column title text;
update purchases set title = l.title from listings l where l.id = purchases.listing_id;
alter table purchases alter column title set not null;
