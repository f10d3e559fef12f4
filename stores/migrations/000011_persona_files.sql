-- What an imported persona came in as, so that it can go out again the same. Not of the agent's row, which every sweep reads.
create table persona_files (
  agent_id text primary key references agents (id),
  owner_id text not null references users (id),
  format text not null check (format in ('eliza', 'card-v1', 'card-v2', 'card-v3')),
  -- json and not jsonb: as it was written, in the order of its keys, also with what jsonb cannot hold.
  document json not null,
  content_hash bytea not null,
  -- A PNG without its texts.
  picture bytea,
  imported_at timestamptz not null default now()
);
