import { useParams } from '@tanstack/react-router';
import { useState } from 'react';
import type { Item, Thing } from '../client.ts';
import { dateTime } from '../format.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { Listed } from '../parts/listed.tsx';
import { TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, usePages, useWrite } from '../queries.ts';
import { guildsText } from '../texts/guilds.ts';
import { BallotList } from './ballot-list.tsx';
import { InviteDialog } from './invite-dialog.tsx';
import { NewBallot } from './new-ballot.tsx';
import './guilds.css';

const words = guildsText;
const may = { invite: ['founder', 'elder', 'member'], oversee: ['founder', 'elder'] };

/** One guild: who is in it, who is invited, what it votes on, and what happened. */
export function GuildView() {
  const { guildId = '' } = useParams({ strict: false });
  const guild = useApi('GET /v1/guilds/{id}', { path: { id: guildId } });
  const [open, setOpen] = useState<'invite' | 'ballot'>();
  const roles: string[] = guild.data?.own.map(({ role }) => role) ?? [];
  const is = (allowed: string[]) => roles.some((role) => allowed.includes(role));
  return (
    <Page
      title={guild.data?.name ?? words.guild}
      lead={guild.data && words.seatsTaken(guild.data.seatsUsed, guild.data.seats)}
      acts={
        guild.data?.state === 'open' && (
          <>
            {is(may.invite) && (
              <Button kind="main" onClick={() => setOpen('invite')}>
                {words.invite}
              </Button>
            )}
            {is(may.invite) && <Button onClick={() => setOpen('ballot')}>{words.propose}</Button>}
          </>
        )
      }
    >
      <Shown of={guild}>
        {(shown) => (
          <>
            {shown.purpose !== '' && <p className="said">{shown.purpose}</p>}
            {shown.state === 'closed' && (
              <p>
                <StateBadge state="closed" />
              </p>
            )}
            <Rules guild={shown} />
            <Members guild={shown} canExpel={is(may.oversee)} />
            <Section title={words.ballots}>
              <BallotList guildId={guildId} />
            </Section>
            {is(may.invite) && <Invites guildId={guildId} />}
            <Trail guildId={guildId} />
          </>
        )}
      </Shown>
      {open === 'invite' && <InviteDialog guildId={guildId} onClose={() => setOpen(undefined)} />}
      {open === 'ballot' && <NewBallot guildId={guildId} onClose={() => setOpen(undefined)} />}
    </Page>
  );
}

function Rules({ guild: { rules } }: { guild: Thing<'Guild'> }) {
  if (rules.length === 0) return null;
  return (
    <Section title={words.rules}>
      <ul className="panel rows">
        {rules.map(({ name, value, madeAt }) => (
          <li key={name}>
            <strong>{words.ruleNames[name]}</strong>: {value}{' '}
            <span className="faint">
              <Time at={madeAt} />
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

type Member = Item<'GET /v1/guilds/{id}/members'>;

function Members({ guild, canExpel }: { guild: Thing<'Guild'>; canExpel: boolean }) {
  const members = usePages('GET /v1/guilds/{id}/members', { path: { id: guild.id }, query: { limit: 200 } });
  const [expelled, setExpelled] = useState<Member>();
  const own = new Set(guild.own.map(({ memberId }) => memberId));
  return (
    <Section title={words.members}>
      <Listed of={members} empty={null}>
        {(items) => (
          <Table
            caption={words.members}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.name,
                cell: ({ name, kind }) => (
                  <>
                    {name} {kind === 'agent' && <Badge>{words.agent}</Badge>}
                  </>
                ),
              },
              { title: words.role, cell: ({ role }) => words.roleNames[role] },
              { title: words.since, cell: ({ joinedAt }) => <Time at={joinedAt} /> },
              {
                title: words.acts,
                cell: (member) =>
                  canExpel &&
                  member.role !== 'founder' &&
                  !own.has(member.id) && (
                    <Button kind="danger" onClick={() => setExpelled(member)}>
                      {words.expel}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Listed>
      {expelled && <Expel guildId={guild.id} member={expelled} onClose={() => setExpelled(undefined)} />}
    </Section>
  );
}

function Expel({ guildId, member, onClose }: { guildId: string; member: Member; onClose: () => void }) {
  const [reason, setReason] = useState('');
  const expel = useWrite('POST /v1/guilds/{id}/expel', {
    touches: ['GET /v1/guilds/{id}/members', 'GET /v1/guilds/{id}'],
  });
  const press = () =>
    expel.mutate(
      { path: { id: guildId }, body: { memberId: member.id, ...(reason === '' ? {} : { reason }) } },
      { onSuccess: onClose },
    );
  return (
    <ConfirmDialog
      title={words.expelTitle(member.name)}
      onClose={onClose}
      act={words.expel}
      kind="danger"
      isPending={expel.isPending}
      onAct={press}
    >
      <TextField
        label={words.reason}
        value={reason}
        maxLength={300}
        onChange={(event) => setReason(event.target.value)}
        error={expel.error?.message}
      />
    </ConfirmDialog>
  );
}

function Invites({ guildId }: { guildId: string }) {
  const invites = usePages('GET /v1/guilds/{id}/invites', {
    path: { id: guildId },
    query: { state: 'pending', limit: 100 },
  });
  const revoke = useWrite('POST /v1/invites/{id}/revoke', { touches: ['GET /v1/guilds/{id}/invites'] });
  const toasts = useToasts();
  return (
    <Section title={words.invites}>
      <Listed of={invites} empty={<p className="faint">{words.noInvites}</p>}>
        {(items) => (
          <Table
            caption={words.invites}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.whom,
                cell: ({ target, address, agentId, userId }) => address ?? agentId ?? userId ?? words.targets[target],
              },
              { title: words.role, cell: ({ role }) => words.roleNames[role] },
              {
                title: words.uses,
                cell: ({ uses, usesLimit }) => (usesLimit === null ? String(uses) : `${uses} / ${usesLimit}`),
                isNumber: true,
              },
              {
                title: words.until,
                cell: ({ expiresAt }) => (expiresAt === null ? words.noEnd : <Time at={expiresAt} />),
              },
              {
                title: words.acts,
                cell: ({ id }) => (
                  <Button
                    disabled={revoke.isPending}
                    onClick={() => revoke.mutate({ path: { id }, body: {} }, { onError: toasts.failed })}
                  >
                    {words.revoke}
                  </Button>
                ),
              },
            ]}
          />
        )}
      </Listed>
    </Section>
  );
}

function Trail({ guildId }: { guildId: string }) {
  const events = usePages('GET /v1/guilds/{id}/events', { path: { id: guildId }, query: { limit: 50 } });
  return (
    <Section title={words.trail}>
      <Listed of={events} empty={<Empty title={words.noTrail} />}>
        {(items) => (
          <ol className="panel rows">
            {items.map(({ seq, action, actorName, memberName, reason, at }) => (
              <li key={seq}>
                <p>
                  {words.did(actorName ?? words.byItself, words.actions[action] ?? action, memberName ?? '')}
                  {reason !== '' && <span className="soft">: {reason}</span>}
                </p>
                <p className="faint" title={dateTime(at)}>
                  {seq} · <Time at={at} />
                </p>
              </li>
            ))}
          </ol>
        )}
      </Listed>
    </Section>
  );
}
