import { useState } from 'react';
import type { Item } from '../client.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay, useMe } from '../shell/me.ts';
import { text } from '../text.ts';
import { OperationsTabs } from './operations-tabs.tsx';

const words = text.operations;
type Given = 'creator' | 'member' | 'reader';
const given: readonly Given[] = ['creator', 'member', 'reader'];

/** Who may do what here, and by which tokens. */
export function PeopleView() {
  const may = useMay('operator');
  return (
    <Page title={words.people} lead={words.peopleLead}>
      <OperationsTabs />
      {may && <Users />}
      <Tokens />
    </Page>
  );
}

type User = Item<'GET /v1/users'>;

function Users() {
  const users = useApi('GET /v1/users', { query: { limit: 100 } });
  const [isNew, setNew] = useState(false);
  const [removed, setRemoved] = useState<User>();
  const toasts = useToasts();
  const touches = ['GET /v1/users'] as const;
  const change = useWrite('PATCH /v1/users/{id}', { touches });
  const remove = useWrite('DELETE /v1/users/{id}', { touches });
  return (
    <Section
      title={words.users}
      acts={
        <Button kind="main" onClick={() => setNew(true)}>
          {words.inviteUser}
        </Button>
      }
    >
      <Shown of={users} isEmpty={({ items }) => items.length === 0} empty={<p className="faint">{words.noUsers}</p>}>
        {({ items }) => (
          <Table
            caption={words.users}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.name,
                cell: ({ name, address }) => (
                  <>
                    {name} <span className="faint">{address}</span>
                  </>
                ),
              },
              { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
              {
                title: words.role,
                cell: ({ id, role, name, state }) =>
                  state === 'deleted' ? (
                    role
                  ) : (
                    <select
                      className="field"
                      aria-label={words.roleOf(name)}
                      value={role}
                      onChange={(event) =>
                        change.mutate(
                          { path: { id }, body: { role: event.target.value as Given } },
                          { onError: toasts.failed },
                        )
                      }
                    >
                      {given.map((each) => (
                        <option key={each}>{each}</option>
                      ))}
                    </select>
                  ),
              },
              {
                title: words.acts,
                cell: (user) =>
                  user.state !== 'deleted' && (
                    <Button kind="danger" onClick={() => setRemoved(user)}>
                      {words.remove}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Shown>
      {isNew && <NewUser onClose={() => setNew(false)} />}
      <Dialog
        title={words.removeTitle(removed?.name ?? '')}
        isOpen={removed !== undefined}
        onClose={() => setRemoved(undefined)}
        acts={
          <>
            <Button onClick={() => setRemoved(undefined)}>{text.app.close}</Button>
            <Button
              kind="danger"
              disabled={remove.isPending}
              onClick={() => {
                if (removed)
                  remove.mutate(
                    { path: { id: removed.id } },
                    { onSuccess: () => setRemoved(undefined), onError: toasts.failed },
                  );
              }}
            >
              {words.remove}
            </Button>
          </>
        }
      >
        <p>{words.removeText}</p>
      </Dialog>
    </Section>
  );
}

function NewUser({ onClose }: { onClose: () => void }) {
  const [address, setAddress] = useState('');
  const [role, setRole] = useState<Given>('member');
  const invite = useWrite('POST /v1/users', { touches: ['GET /v1/users'] });
  return (
    <Dialog
      title={words.inviteUser}
      isOpen
      onClose={onClose}
      acts={
        <>
          <Button onClick={onClose}>{text.app.close}</Button>
          <Button
            kind="main"
            disabled={invite.isPending || address === ''}
            onClick={() => invite.mutate({ body: { address, role } }, { onSuccess: onClose })}
          >
            {words.inviteUser}
          </Button>
        </>
      }
    >
      <div className="form">
        <TextField
          label={words.address}
          type="email"
          value={address}
          maxLength={254}
          onChange={(event) => setAddress(event.target.value)}
          error={invite.error?.message}
        />
        <SelectField
          label={words.role}
          value={role}
          onChange={(event) => setRole(event.target.value as Given)}
          options={given.map((value) => ({ value, label: value }))}
        />
      </div>
    </Dialog>
  );
}

function Tokens() {
  const me = useMe();
  const tokens = useApi('GET /v1/tokens', { query: { limit: 100 } });
  const toasts = useToasts();
  const end = useWrite('DELETE /v1/tokens/{id}', { touches: ['GET /v1/tokens'] });
  return (
    <Section title={words.tokens}>
      <p className="soft">{words.tokensText}</p>
      <Shown of={tokens} isEmpty={({ items }) => items.length === 0} empty={<p className="faint">{words.noTokens}</p>}>
        {({ items }) => (
          <Table
            caption={words.tokens}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.name,
                cell: ({ name, id }) => (
                  <>
                    {name || id} {id === me?.tokenId && <Badge tone="info">{words.thisOne}</Badge>}
                  </>
                ),
              },
              {
                title: words.tokenKind,
                cell: ({ kind, service }) => (service === null ? words.tokenKinds[kind] : words.ofService(service)),
              },
              { title: words.role, cell: ({ role }) => role },
              { title: words.lastUsed, cell: ({ usedAt }) => (usedAt === null ? '–' : <Time at={usedAt} />) },
              {
                title: words.ends,
                cell: ({ expiresAt, revokedAt }) =>
                  revokedAt !== null ? (
                    <StateBadge state="revoked" />
                  ) : expiresAt === null ? (
                    '–'
                  ) : (
                    <Time at={expiresAt} />
                  ),
              },
              {
                title: words.acts,
                cell: ({ id, name, revokedAt }) =>
                  revokedAt === null && (
                    <Button
                      kind="danger"
                      aria-label={words.of(words.endToken, name || id)}
                      disabled={end.isPending}
                      onClick={() => end.mutate({ path: { id } }, { onError: toasts.failed })}
                    >
                      {words.endToken}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Shown>
    </Section>
  );
}
