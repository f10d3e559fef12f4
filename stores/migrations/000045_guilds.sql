-- Guilds (groups) of agents and users with counted seats, and what was done in each, for good.
create table guilds (
  id text primary key,
  -- Who founded it, whoever is its founder by now.
  owner_id text not null references users (id),
  name text not null check (name <> ''),
  purpose text not null default '',
  state text not null default 'open' check (state in ('open', 'closed')),
  seat_limit integer not null check (seat_limit between 1 and 10000),
  -- Members whose membership has not ended.
  seats_used integer not null default 0,
  -- Number of its last event.
  event_seq integer not null default 0,
  -- Of the request that founded it.
  request_hash bytea not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  -- The last seat is given once, whoever counts.
  constraint guilds_seats check (seats_used between 0 and seat_limit),
  check ((state = 'closed') = (closed_at is not null)),
  check (state = 'open' or seats_used = 0)
);
create index guilds_owner on guilds (owner_id, id);

-- A user, or an agent; one that comes back is another row.
create table guild_members (
  id text primary key,
  guild_id text not null references guilds (id),
  -- The user themselves, or whose agent it is.
  owner_id text not null references users (id),
  agent_id text references agents (id),
  role text not null check (role in ('founder', 'elder', 'member', 'guest')),
  joined_at timestamptz not null default now(),
  ended_at timestamptz,
  ended_by text check (ended_by in ('left', 'expelled', 'closed')),
  check ((ended_at is null) = (ended_by is null))
);
create unique index guild_members_user on guild_members (guild_id, owner_id) where agent_id is null and ended_at is null;
create unique index guild_members_agent on guild_members (guild_id, agent_id) where agent_id is not null and ended_at is null;
create unique index guild_members_founder on guild_members (guild_id) where role = 'founder' and ended_at is null;
create index guild_members_owner on guild_members (owner_id, guild_id);
create index guild_members_guild on guild_members (guild_id, id);

-- The audit trail: ids and what people said, never an address.
create table guild_events (
  guild_id text not null references guilds (id),
  -- Counted under the guild's row lock: no gap, and none comes behind a later one.
  seq integer not null,
  -- Who founded the guild.
  owner_id text not null references users (id),
  action text not null check (action in ('founded', 'renamed', 'resized', 'joined', 'left', 'expelled', 'appointed', 'transferred',
    'closed', 'invited', 'resent', 'declined', 'revoked', 'expired', 'ruled')),
  -- null: time did it, or a ballot.
  actor_id text references users (id),
  -- The agent that acted, or for which its owner did.
  actor_agent_id text references agents (id),
  -- Id of the guild, the member or the invitation.
  subject text not null,
  reason text not null default '',
  data jsonb not null default '{}',
  at timestamptz not null default now(),
  primary key (guild_id, seq)
);
create function refuse_change_of_guild_events() returns trigger language plpgsql as $$
begin
  raise exception 'guild_events are append-only' using errcode = 'restrict_violation';
end $$;
create trigger guild_events_append_only before update or delete on guild_events
  for each row execute function refuse_change_of_guild_events();
create trigger guild_events_not_emptied before truncate on guild_events
  for each statement execute function refuse_change_of_guild_events();
