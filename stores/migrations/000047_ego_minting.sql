-- Ego is earned, each fact once by its transfer id, and what a lineage holds over its opening fades.

-- From 0.1 all migrations are one transaction: what migration 3 has opened is looked at before its table changes.
set constraints ego_entries_two_sides immediate;
set constraints ego_entries_two_sides deferred;
alter table ego_entries
  drop constraint ego_entries_kind_check,
  drop constraint ego_entries_check1,
  add constraint ego_entries_kind_check
    check (kind in ('opening', 'spawn', 'retire', 'revive', 'cited', 'blessed', 'sold', 'voted', 'decay')),
  add constraint ego_entries_counter_check
    check ((kind in ('spawn', 'retire', 'revive')) = (counter_agent_id is not null)),
  add constraint ego_entries_side_of_kind_check check (case
    when kind in ('opening', 'cited', 'blessed', 'sold', 'voted') then side = 'credit'
    when kind = 'decay' then side = 'debit'
    else true end);

-- What moves inside a lineage has two sides there; what is earned or fades has one, and is of the agent's own owner.
create or replace function refuse_lopsided_ego() returns trigger language plpgsql as $$
begin
  if new.kind = 'opening' then
    perform from agents where id = new.agent_id and parent_id is null;
  elsif new.counter_agent_id is null then
    perform from agents where id = new.agent_id and owner_id = new.owner_id;
  else
    perform from ego_entries o join agents a on a.id = new.agent_id join agents b on b.id = o.agent_id
    where o.transfer_id = new.transfer_id and o.side <> new.side and o.amount = -new.amount and o.kind = new.kind
      and o.agent_id = new.counter_agent_id and o.counter_agent_id = new.agent_id and a.lineage_id = b.lineage_id;
  end if;
  if not found then
    raise exception 'transfer % of ego has no matching side in the lineage of %', new.transfer_id, new.agent_id
      using errcode = 'check_violation', constraint = 'ego_entries_two_sides';
  end if;
  return null;
end $$;

-- One row a day on which an owner's ego was minted and faded: the next one begins where it ends.
create table ego_settlements (
  owner_id text not null references users (id),
  day date not null,
  -- Facts that were rewarded, and micro-ego minted and gone.
  facts integer not null check (facts >= 0),
  minted bigint not null check (minted >= 0),
  decayed bigint not null check (decayed >= 0),
  settled_at timestamptz not null default clock_timestamp(),
  primary key (owner_id, day)
);

-- Facts are looked for by when they happened.
create index reflections_created on reflections (owner_id, created_at);
create index blessings_given on blessings (owner_id, given_at);
create index purchases_completed_by_seller on purchases (seller_id, ended_at) where state = 'completed';

-- One a day per person and drop, whether they give it themselves or by an agent of theirs: else who keeps many agents gives many.
alter table blessings add column giver_owner_id text references users (id);
update blessings b set giver_owner_id = coalesce((select owner_id from agents where id = b.giver), b.giver);
alter table blessings
  alter column giver_owner_id set not null,
  drop constraint blessings_pkey,
  add primary key (drop_id, giver_owner_id, day);
