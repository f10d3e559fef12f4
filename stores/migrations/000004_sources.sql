-- What feeds memories from outside: how far each source of fleet.yaml has been read, and what came from it.

create table source_states (
  owner_id text not null references users (id),
  source_id text not null,
  -- Where the next read goes on, in the words of the source's kind; null: from the beginning.
  cursor jsonb,
  -- Polls stored so far: who stores one must have begun from the poll before it.
  polls bigint not null default 0,
  next_poll_at timestamptz not null default now(),
  -- The sweep that took it up last, so that a sweep's step that runs twice takes up the same.
  claimed_by text,
  failures integer not null default 0,
  last_ok_at timestamptz,
  last_error text not null default '',
  last_error_at timestamptz,
  -- What a person may want to know although it works, such as that the address has moved.
  note text not null default '',
  -- fleet.yaml does not name it any more.
  stopped_at timestamptz,
  primary key (owner_id, source_id)
);

-- First stored, then handed to the agents: what was read is not lost, however long that takes.
create table source_items (
  id bigint generated always as identity primary key,
  owner_id text not null references users (id),
  source_id text not null,
  -- SHA-256 of the item's own id, in hex.
  item_hash text not null,
  -- SHA-256 of address, title and text as they came: the same under another id is the same item.
  content_hash bytea not null,
  version integer not null default 1,
  -- The last version that every agent was given; 0: none.
  delivered_version integer not null default 0,
  title text not null,
  url text,
  -- Until it is delivered; then the memories have it.
  text text,
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  -- Agents are given it in the order of their ids.
  delivered_to text not null default '',
  delivered_at timestamptz,
  -- How many were given this version.
  agents integer not null default 0,
  -- A person asked to forget a memory of it: it never comes again.
  forgotten_at timestamptz,
  unique (owner_id, source_id, item_hash),
  check ((text is null) = (delivered_at is not null or forgotten_at is not null)),
  check (delivered_version <= version)
);
create index source_items_list on source_items (owner_id, source_id, id);
create index source_items_content on source_items (owner_id, source_id, content_hash);
create index source_items_pending on source_items (owner_id, source_id, id) where text is not null;
create index source_items_seen on source_items (seen_at);
