-- Loop packages that were made here, and agents that came with one: docs/loops.md.
create table loop_packages (
  id text primary key,
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  -- SHA-256 of all that it says; the same content is one package, whoever asks for it how often.
  content_hash bytea not null check (octet_length(content_hash) = 32),
  -- Of persona and memories alone.
  agent_hash bytea not null check (octet_length(agent_hash) = 32),
  manifest jsonb not null,
  -- The whole file, as it is given away: it never changes, and must not be lost while anybody may download it.
  archive bytea not null,
  bytes integer not null check (bytes = octet_length(archive)),
  key_id text not null references signing_keys (id),
  made_at timestamptz not null default now(),
  unique (owner_id, content_hash)
);
create index loop_packages_list on loop_packages (owner_id, id desc);
create index loop_packages_agent on loop_packages (agent_id);

-- What each Idempotency-Key brought, also where the package was there already.
create table loop_package_requests (
  id text primary key,
  owner_id text not null references users (id),
  body_hash bytea not null,
  package_id text not null references loop_packages (id),
  at timestamptz not null default now()
);

create table loop_installs (
  agent_id text primary key references agents (id),
  owner_id text not null references users (id),
  content_hash bytea not null check (octet_length(content_hash) = 32),
  manifest jsonb not null,
  key_id text not null,
  -- false: its key was pinned by nobody, and it was installed all the same.
  trusted boolean not null,
  installed_at timestamptz not null default now(),
  unique (owner_id, content_hash)
);
