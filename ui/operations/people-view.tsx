import { useState } from 'react';
import type { Item } from '../client.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { Listed } from '../parts/listed.tsx';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { usePages, useWrite } from '../queries.ts';
import { useMay, useMe } from '../shell/me.ts';
import { operationsText } from '../texts/operations.ts';
import { NewToken } from './new-token.tsx';
import { OperationsTabs } from './operations-tabs.tsx';

const words = operationsText;
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
  const users = usePages('GET /v1/users', { query: { limit: 100 } });
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
      <Listed of={users} empty={<p className="faint">{words.noUsers}</p>}>
        {(items) => (
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
                    <RoleChange
                      key={role}
                      name={name}
                      role={role}
                      isBusy={change.isPending}
                      onGive={(next) =>
                        change.mutate({ path: { id }, body: { role: next } }, { onError: toasts.failed })
                      }
                    />
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
      </Listed>
      {isNew && <NewUser onClose={() => setNew(false)} />}
      <ConfirmDialog
        title={words.removeTitle(removed?.name ?? '')}
        isOpen={removed !== undefined}
        onClose={() => setRemoved(undefined)}
        act={words.remove}
        kind="danger"
        isPending={remove.isPending}
        onAct={() => {
          if (removed)
            remove.mutate(
              { path: { id: removed.id } },
              { onSuccess: () => setRemoved(undefined), onError: toasts.failed },
            );
        }}
      >
        <p>{words.removeText}</p>
      </ConfirmDialog>
    </Section>
  );
}

interface RoleProps {
  name: string;
  role: string;
  isBusy: boolean;
  onGive: (role: Given) => void;
}

/** Chosen first, given by a press: a list that is gone through by keyboard gives nobody what lies on the way. */
function RoleChange({ name, role, isBusy, onGive }: RoleProps) {
  const [chosen, setChosen] = useState(role);
  return (
    <span className="form-acts">
      <select
        className="field"
        aria-label={words.roleOf(name)}
        value={chosen}
        onChange={(event) => setChosen(event.target.value)}
      >
        {given.map((each) => (
          <option key={each} value={each}>
            {words.roles[each]}
          </option>
        ))}
      </select>
      {chosen !== role && (
        <Button disabled={isBusy} aria-label={words.of(words.giveRole, name)} onClick={() => onGive(chosen as Given)}>
          {words.giveRole}
        </Button>
      )}
    </span>
  );
}

function NewUser({ onClose }: { onClose: () => void }) {
  const [address, setAddress] = useState('');
  const [role, setRole] = useState<Given>('member');
  const invite = useWrite('POST /v1/users', { touches: ['GET /v1/users'] });
  return (
    <ConfirmDialog
      title={words.inviteUser}
      onClose={onClose}
      act={words.inviteUser}
      isPending={invite.isPending}
      disabled={address === ''}
      onAct={() => invite.mutate({ body: { address, role } }, { onSuccess: onClose })}
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
          options={given.map((value) => ({ value, label: words.roles[value] }))}
        />
      </div>
    </ConfirmDialog>
  );
}

function Tokens() {
  const me = useMe();
  const tokens = usePages('GET /v1/tokens', { query: { limit: 100 } });
  const toasts = useToasts();
  const end = useWrite('DELETE /v1/tokens/{id}', { touches: ['GET /v1/tokens'] });
  const [own, setOwn] = useState<string>();
  const [isNew, setNew] = useState(false);
  return (
    <Section title={words.tokens} acts={<Button onClick={() => setNew(true)}>{words.newToken}</Button>}>
      {isNew && <NewToken onClose={() => setNew(false)} />}
      <p className="soft">{words.tokensText}</p>
      <Listed of={tokens} empty={<p className="faint">{words.noTokens}</p>}>
        {(items) => (
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
              { title: words.role, cell: ({ role }) => words.roles[role] },
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
                      onClick={() =>
                        id === me?.tokenId ? setOwn(id) : end.mutate({ path: { id } }, { onError: toasts.failed })
                      }
                    >
                      {words.endToken}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Listed>
      <ConfirmDialog
        title={words.endOwn}
        isOpen={own !== undefined}
        onClose={() => setOwn(undefined)}
        act={words.endToken}
        kind="danger"
        isPending={end.isPending}
        onAct={() => {
          if (own !== undefined)
            end.mutate({ path: { id: own } }, { onSuccess: () => setOwn(undefined), onError: toasts.failed });
        }}
      >
        <p>{words.endOwnText}</p>
      </ConfirmDialog>
    </Section>
  );
}
