-- Invitations to guilds: to an agent, a user or a mail address, or a link with counted uses.
create table guild_invites (
  id text primary key,
  guild_id text not null references guilds (id),
  -- Who invites, or whose agent does.
  owner_id text not null references users (id),
  agent_id text references agents (id),
  target text not null check (target in ('agent', 'user', 'address', 'link')),
  -- The user who is invited, or whose agent is.
  target_owner_id text references users (id),
  target_agent_id text references agents (id),
  -- Gone some time after the invitation has ended, and with the user whose it was.
  address text check (address = lower(address) and address !~ '[[:space:][:cntrl:]]'),
  role text not null check (role in ('elder', 'member', 'guest')),
  message text not null default '',
  state text not null default 'pending' check (state in ('pending', 'accepted', 'declined', 'revoked', 'expired', 'used_up')),
  -- Why it ended, as somebody said it.
  reason text not null default '',
  -- null: a link without limit.
  uses_limit integer check (uses_limit between 1 and 100),
  uses integer not null default 0 check (uses >= 0),
  resends integer not null default 0,
  reminders integer not null default 0,
  -- Of an agent: who answers for it now, and until when it is asked itself.
  waits_for text check (waits_for in ('agent', 'owner')),
  answer_by timestamptz,
  request_hash bytea not null,
  created_at timestamptz not null default now(),
  -- The last time; sent again it is later.
  sent_at timestamptz not null default now(),
  -- null: a link without an end.
  expires_at timestamptz,
  ended_at timestamptz,
  constraint guild_invites_uses check (uses_limit is null or uses <= uses_limit),
  check ((state = 'pending') = (ended_at is null)),
  check ((target = 'agent') = (target_agent_id is not null)),
  check ((target = 'agent') = (waits_for is not null)),
  check ((target in ('agent', 'user')) = (target_owner_id is not null)),
  check (target = 'link' or (expires_at is not null and uses_limit = 1)),
  check (target = 'address' or address is null)
);
-- One open invitation for each; what has ended stands in nobody's way.
create unique index guild_invites_agent on guild_invites (guild_id, target_agent_id) where state = 'pending' and target = 'agent';
create unique index guild_invites_user on guild_invites (guild_id, target_owner_id) where state = 'pending' and target = 'user';
create unique index guild_invites_address on guild_invites (guild_id, address) where state = 'pending' and target = 'address';
create index guild_invites_guild on guild_invites (guild_id, id);
create index guild_invites_owner on guild_invites (owner_id, id);
create index guild_invites_target on guild_invites (target_owner_id, id) where target_owner_id is not null;
create index guild_invites_to on guild_invites (address, created_at) where address is not null;
create index guild_invites_ended on guild_invites (ended_at) where ended_at is not null;

-- Secrets of links and of mailed invitations, as SHA-256. Several may be live: each mail has its own.
create table guild_invite_tokens (
  hash bytea primary key,
  invite_id text not null references guild_invites (id) on delete cascade,
  -- null: shown to who invites, not mailed.
  mail_id text,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
create index guild_invite_tokens_invite on guild_invite_tokens (invite_id);

-- Who has used an invitation, each once, however often they ask.
create table guild_invite_uses (
  invite_id text not null references guild_invites (id) on delete cascade,
  member_id text not null unique references guild_members (id),
  owner_id text not null references users (id),
  agent_id text references agents (id),
  used_at timestamptz not null default now(),
  primary key (invite_id, member_id)
);
create unique index guild_invite_uses_user on guild_invite_uses (invite_id, owner_id) where agent_id is null;
create unique index guild_invite_uses_agent on guild_invite_uses (invite_id, agent_id) where agent_id is not null;

-- What one inviter has sent of late is counted here.
create index guild_events_sent on guild_events (actor_id, at) where action in ('invited', 'resent');

alter table mails drop constraint mails_template_check,
  add constraint mails_template_check check (template in ('sign_in', 'invite', 'receipt', 'refund_notice', 'dispute_notice', 'guild_invite'));
create index mails_guild_invites on mails (address, queued_at) where template = 'guild_invite' and address is not null;
