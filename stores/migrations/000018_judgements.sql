-- What a model says of agents that drift: asked only of those, and only of so many a period.
create table drift_judgements (
  rating_id text primary key references drift_ratings (id) on delete cascade,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  period text not null,
  -- none: nothing was judged, the reason says why.
  state text not null default 'pending' check (state in ('pending', 'done', 'none')),
  -- Ids of what is judged, by time.
  outputs text[] not null,
  samples integer not null,
  -- { prompt_to_line, line_to_line, answers }, each { mean, spread, samples }.
  scores jsonb,
  model_id text,
  prompt_version text,
  tokens integer not null default 0,
  reason text not null default '',
  made_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'done') = (scores is not null)),
  check ((state = 'pending') = (ended_at is null))
);
create index drift_judgements_period on drift_judgements (owner_id, period);
create index drift_judgements_agent on drift_judgements (agent_id);
