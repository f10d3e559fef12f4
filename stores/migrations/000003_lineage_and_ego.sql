-- Agents may be born outside fleet.yaml; each belongs to a lineage, and each lineage holds the ego its first agent opened.

alter table agents
  add column origin text not null default 'fleet' check (origin in ('fleet', 'spawn', 'import')),
  add column parent_id text references agents (id),
  -- The first ancestor; a first agent's own id.
  add column lineage_id text references agents (id),
  add column generation integer not null default 0 check (generation >= 0);
update agents set lineage_id = id;
alter table agents
  alter column origin drop default,
  alter column lineage_id set not null,
  add check ((origin = 'spawn') = (parent_id is not null)),
  add check ((parent_id is null) = (generation = 0)),
  add check ((parent_id is null) = (lineage_id = id));
create index agents_parent on agents (parent_id) where parent_id is not null;
create index agents_lineage on agents (lineage_id) where parent_id is not null;

-- Ego (voting weight) in integer micro-ego: append-only, two sides a transfer.
create table ego_entries (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  counter_agent_id text references agents (id),
  kind text not null check (kind in ('opening', 'spawn', 'retire', 'revive')),
  transfer_id text not null,
  side text not null check (side in ('debit', 'credit')),
  amount bigint not null check (amount <> 0),
  at timestamptz not null default clock_timestamp(),
  unique (transfer_id, side),
  check ((side = 'credit') = (amount > 0)),
  check ((kind = 'opening') = (counter_agent_id is null)),
  check (counter_agent_id <> agent_id)
);
create index ego_entries_agent on ego_entries (agent_id, id);

create function refuse_change_of_ego() returns trigger language plpgsql as $$
begin
  raise exception 'ego_entries are append-only' using errcode = 'restrict_violation';
end $$;
create trigger ego_entries_append_only before update or delete on ego_entries
  for each row execute function refuse_change_of_ego();
create trigger ego_entries_not_emptied before truncate on ego_entries
  for each statement execute function refuse_change_of_ego();

-- Under the agent's row lock, so that two who spend at once see each other.
create function refuse_overdrawn_ego() returns trigger language plpgsql as $$
declare
  balance bigint;
begin
  perform from agents where id = new.agent_id for update;
  select coalesce(sum(amount), 0) into balance from ego_entries where agent_id = new.agent_id;
  if balance + new.amount < 0 then
    raise exception 'ego of % is %, which is less than %', new.agent_id, balance, -new.amount
      using errcode = 'check_violation', constraint = 'ego_entries_not_overdrawn';
  end if;
  return new;
end $$;
create trigger ego_entries_not_overdrawn before insert on ego_entries
  for each row when (new.amount < 0) execute function refuse_overdrawn_ego();

-- At commit both sides must be there: what a lineage holds in all changes only by the opening of its first agent.
create function refuse_lopsided_ego() returns trigger language plpgsql as $$
begin
  if new.kind = 'opening' then
    perform from agents where id = new.agent_id and parent_id is null;
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
create constraint trigger ego_entries_two_sides after insert on ego_entries
  deferrable initially deferred for each row execute function refuse_lopsided_ego();

insert into ego_entries (id, owner_id, agent_id, kind, transfer_id, side, amount)
select 'ego_' || substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7' || substr(random, 16), owner_id, id,
  'opening', 'opening:' || id, 'credit', 1000000
from agents, lateral (select lpad(to_hex((extract(epoch from created_at) * 1000)::bigint), 12, '0') as ms,
  gen_random_uuid()::text as random) as made;
