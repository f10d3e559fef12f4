-- Ballots: proposal, discussion, vote, tally, effect. See docs/ballots.md.

create table ballots (
  -- Made of the author's Idempotency-Key.
  id text primary key,
  owner_id text not null references users (id),
  -- Whose members vote; null: all living agents of the owner.
  guild_id text references guilds (id),
  author_kind text not null check (author_kind in ('agent', 'user')),
  author_id text not null,
  title text not null check (title <> ''),
  text text not null,
  method text not null check (method in ('single', 'approval', 'weighted', 'quadratic', 'ranked')),
  options text[] not null check (cardinality(options) between 2 and 10),
  effect jsonb not null check (effect ? 'kind'),
  -- Terms as they were when it was proposed: a change of fleet.yaml never touches it. Shares in percent.
  vote_seconds integer not null check (vote_seconds between 1 and 63072000),
  extension_seconds integer not null check (extension_seconds >= 0),
  quorum smallint not null check (quorum between 0 and 100),
  threshold smallint not null check (threshold between 1 and 100),
  lineage_share smallint not null check (lineage_share between 1 and 100),
  asked_agents smallint not null check (asked_agents between 0 and 20),
  votes_per_hour integer not null check (votes_per_hour >= 1),
  state text not null default 'discussion' check (state in
    ('discussion', 'open', 'passed', 'rejected', 'no_quorum', 'carried_out', 'effect_failed')),
  reason_code text not null default '',
  reason text not null default '',
  request_hash bytea not null,
  made_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  -- When the discussion ends.
  opens_at timestamptz not null,
  opened_at timestamptz,
  -- Known once the vote is open; a quorum that comes late moves it, once.
  closes_at timestamptz,
  extended_at timestamptz,
  -- Micro-ego of the whole electorate, and of those who take part.
  weight bigint check (weight >= 0),
  present bigint not null default 0 check (present >= 0),
  tally jsonb,
  winner smallint,
  closed_at timestamptz,
  ended_at timestamptz,
  check ((opened_at is null) = (closes_at is null) and (opened_at is null) = (weight is null)),
  check (state not in ('open', 'passed', 'no_quorum', 'carried_out', 'effect_failed') or opened_at is not null),
  check ((state in ('discussion', 'open')) = (closed_at is null)),
  check (tally is null or closed_at is not null),
  check (state not in ('rejected', 'no_quorum', 'carried_out', 'effect_failed') or ended_at is not null),
  check ((state in ('rejected', 'no_quorum')) = (reason_code <> '')),
  check (state <> 'effect_failed' or reason <> '')
);
-- An author has one open proposal.
create unique index ballots_open_author on ballots (owner_id, author_id) where state in ('discussion', 'open');
create index ballots_owner on ballots (owner_id, id desc);
create index ballots_guild on ballots (guild_id) where guild_id is not null;
create index ballots_ended on ballots (ended_at) where ended_at is not null;
create index ballots_closed on ballots (owner_id, closed_at) where closed_at is not null;

-- Who may vote, with the weight that was frozen as the vote opened.
create table electors (
  ballot_id text not null references ballots (id) on delete cascade,
  voter_id text not null,
  voter_kind text not null check (voter_kind in ('agent', 'user')),
  -- Who may vote for it beside itself.
  owner_id text not null references users (id),
  -- Of an agent its lineage; anybody else is their own.
  lineage_id text not null,
  -- What it held, and what counts of it after its lineage was held to its share.
  ego bigint not null check (ego >= 0),
  weight bigint not null check (weight between 0 and ego),
  -- Whether it is asked through inference, or else whose vote counts for it until it votes itself.
  asked boolean not null default false,
  follows text,
  -- Whether it takes part in the quorum, by its own vote or that of whom it follows.
  present boolean not null default false,
  primary key (ballot_id, voter_id),
  check (not asked or follows is null)
);
create index electors_followers on electors (ballot_id, follows) where follows is not null;
create index electors_asked on electors (ballot_id) where asked;
create index electors_of_owner on electors (owner_id, ballot_id);

create table votes (
  ballot_id text not null,
  voter_id text not null,
  owner_id text not null references users (id),
  -- Null: abstained.
  choice jsonb,
  reason text not null,
  -- Ids of the voter's own memories that it rests on.
  evidence text[] not null,
  -- absent: was asked and could not be reached.
  origin text not null check (origin in ('person', 'model', 'absent')),
  made_by text not null,
  model_id text,
  prompt_version text,
  -- How often it was given, and how often since the hour of the limit began.
  given integer not null default 1 check (given >= 1),
  hour_began_at timestamptz not null,
  given_in_hour integer not null check (given_in_hour >= 1),
  first_at timestamptz not null,
  changed_at timestamptz not null,
  primary key (ballot_id, voter_id),
  foreign key (ballot_id, voter_id) references electors (ballot_id, voter_id) on delete cascade,
  check (origin <> 'absent' or choice is null)
);
-- What votes rest on is looked for by when they were given.
create index votes_changed on votes (owner_id, changed_at);

create table ballot_remarks (
  id text primary key,
  ballot_id text not null references ballots (id) on delete cascade,
  -- Of who said it.
  owner_id text not null references users (id),
  author_kind text not null check (author_kind in ('agent', 'user')),
  author_id text not null,
  text text not null check (text <> ''),
  said_at timestamptz not null default clock_timestamp()
);
create index ballot_remarks_ballot on ballot_remarks (ballot_id, id);

-- The last word on lateness, and on what was counted (words of reason may be taken away later): whoever writes a vote, and however late the workflow is, it is in time by the database's clock.
create function refuse_late_vote() returns trigger language plpgsql as $$
begin
  perform from ballots where id = new.ballot_id and state = 'open' and clock_timestamp() < closes_at;
  if not found then
    raise exception 'ballot % takes no vote now', new.ballot_id
      using errcode = 'check_violation', constraint = 'votes_in_time';
  end if;
  return new;
end $$;
create trigger votes_in_time before insert or update of ballot_id, voter_id, choice, origin on votes
  for each row execute function refuse_late_vote();

-- Rules that guilds have given themselves by a ballot. What one governs nobody changes by hand any more.
create table guild_rules (
  -- The ballot that decided it, which may be forgotten before it.
  ballot_id text primary key,
  guild_id text not null references guilds (id),
  name text not null check (name in ('seats', 'invite', 'expel', 'close')),
  value jsonb not null,
  made_at timestamptz not null default clock_timestamp(),
  -- Another ballot has taken its place.
  ended_at timestamptz
);
create unique index guild_rules_standing on guild_rules (guild_id, name) where ended_at is null;
