-- The memory globe: where agents and memories stand on the unit sphere by what they say. Made anew by placeGlobe from where each
-- stood before; nothing else rests on it.

create table globes (
  owner_id text primary key references users (id),
  -- The newest run that has stored something here, or found nothing new.
  period text not null,
  -- Whose vectors were compared.
  model text not null,
  -- Of what was placed, ids and vectors: the same again moves nobody.
  digest bytea not null,
  agents integer not null,
  memories integer not null,
  placed_at timestamptz not null default now()
);

create table globe_agents (
  agent_id text primary key references agents (id) on delete cascade,
  owner_id text not null references users (id),
  x real not null,
  y real not null,
  z real not null
);
create index globe_agents_owner on globe_agents (owner_id);

-- Text and time are read from the memory itself, so that what is forgotten is gone here, too.
create table globe_memories (
  memory_id text primary key references memories (id) on delete cascade,
  owner_id text not null references users (id),
  x real not null,
  y real not null,
  z real not null
);
create index globe_memories_owner on globe_memories (owner_id);
