-- Groups of agents that speak and drift alike, followed from run to run.

create table cluster_runs (
  id text primary key,
  owner_id text not null references users (id),
  period text not null,
  -- Whose vectors were compared; null where there were none.
  model text,
  agents integer not null,
  clusters integer not null,
  -- Agents in no cluster.
  apart integer not null,
  -- How many of the agents were clustered themselves; the others were assigned, to keep the limit of memory.
  sampled_share double precision not null check (sampled_share between 0 and 1),
  memory_limit_mib integer not null,
  seconds double precision not null,
  -- Too few agents had a vector: nothing was looked for, and the clusters there are stay as they are.
  skipped boolean not null default false,
  reason text not null default '',
  made_at timestamptz not null default now(),
  -- A run that is asked for twice is made once.
  unique (owner_id, period)
);
create index cluster_runs_newest on cluster_runs (owner_id, id desc);

create table clusters (
  id text primary key,
  owner_id text not null references users (id),
  state text not null check (state in ('living', 'merged', 'gone')),
  -- Members in the last run it was in.
  members integer not null,
  -- Where it came from, and where it went.
  split_from text references clusters (id),
  merged_into text references clusters (id),
  -- [{ term, outputs }]: the words that set its members apart, each with ids of what they said.
  terms jsonb not null default '[]',
  born_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'merged') = (merged_into is not null)),
  check ((state = 'living') = (ended_at is null))
);
create index clusters_living on clusters (owner_id, id) where state = 'living';

create table cluster_members (
  run_id text not null references cluster_runs (id) on delete cascade,
  agent_id text not null references agents (id),
  cluster_id text not null references clusters (id),
  primary key (run_id, agent_id)
);
create index cluster_members_cluster on cluster_members (cluster_id, run_id);
create index cluster_members_agent on cluster_members (agent_id);
