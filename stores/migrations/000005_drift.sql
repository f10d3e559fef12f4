-- How far what agents say stands from their personas.

-- The directions in which the personas of a fleet differ, learnt from its outputs; see domain/persona-space.ts.
create table drift_spaces (
  id text primary key,
  owner_id text not null references users (id),
  model text not null,
  dimensions integer not null check (dimensions > 0),
  -- Float32, little-endian: the mean, then the directions one after the other.
  vectors bytea not null,
  agents integer not null,
  outputs integer not null,
  made_at timestamptz not null default now()
);
create index drift_spaces_model on drift_spaces (owner_id, model, id desc);

create table drift_ratings (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  period text not null,
  state text not null check (state in ('calm', 'drifting', 'estranged')),
  drift double precision not null,
  weighted double precision not null,
  -- Null while nothing is usual yet.
  z double precision,
  window_size integer not null,
  history integer not null,
  -- Whose vectors were compared; numbers of two models do not compare.
  model text not null,
  -- Null where the plain vectors were compared.
  space_id text,
  reason text not null default '',
  rated_at timestamptz not null default now(),
  -- A rating that is asked for twice is made once.
  unique (agent_id, period)
);
create index drift_ratings_agent on drift_ratings (agent_id, id desc);
create index drift_ratings_age on drift_ratings (rated_at);

-- Where each rated agent stands now.
create table agent_drift (
  agent_id text primary key references agents (id),
  owner_id text not null references users (id),
  rating_id text not null references drift_ratings (id),
  state text not null check (state in ('calm', 'drifting', 'estranged')),
  since timestamptz not null,
  model text not null,
  -- The newest output that was looked at: without a newer one there is nothing to rate.
  newest_output text not null,
  -- Mean of the window, float32, little-endian, of unit length.
  vector bytea not null
);
create index agent_drift_state on agent_drift (owner_id, state, agent_id);

create index memories_outputs on memories (agent_id, recorded_at desc) where kind in ('reflection', 'reply', 'drop');
