import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Item } from '../client.ts';
import { counted } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { useDecisions } from '../parts/decision.ts';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { Listed } from '../parts/listed.tsx';
import { AreaField, TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty } from '../parts/states.tsx';
import { usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { guildsText } from '../texts/guilds.ts';
import { BallotList } from './ballot-list.tsx';
import { NewBallot } from './new-ballot.tsx';
import './guilds.css';

const words = guildsText;

/** The guilds one is in, and what is voted on. */
export function GuildsView() {
  const guilds = usePages('GET /v1/guilds', { query: { state: 'open', limit: 100 } });
  const may = useMay('member');
  const [isNew, setNew] = useState<'guild' | 'ballot'>();
  return (
    <Page
      title={words.title}
      lead={words.lead}
      acts={
        may && (
          <>
            <Button kind="main" onClick={() => setNew('guild')}>
              {words.found}
            </Button>
            <Button onClick={() => setNew('ballot')}>{words.propose}</Button>
          </>
        )
      }
    >
      <Section title={words.yours}>
        <Listed of={guilds} empty={<Empty title={words.none}>{words.noneText}</Empty>}>
          {(items) => (
            <ul className="cards">
              {items.map(({ id, name, purpose, seats, seatsUsed, own }) => (
                <li key={id} className="panel card">
                  <h3>
                    <Link to="/guilds/$guildId" params={{ guildId: id }}>
                      {name}
                    </Link>
                  </h3>
                  {purpose !== '' && <p className="soft">{purpose}</p>}
                  <p className="faint">
                    {counted(seatsUsed, 'member')}, {counted(seats, 'seat')}
                    {own.length > 0 && ` · ${own.map(told).join(', ')}`}
                  </p>
                </li>
              ))}
            </ul>
          )}
        </Listed>
      </Section>
      <Section title={words.ballots}>
        <BallotList />
      </Section>
      {isNew === 'guild' && <NewGuild onClose={() => setNew(undefined)} />}
      {isNew === 'ballot' && <NewBallot onClose={() => setNew(undefined)} />}
    </Page>
  );
}

function NewGuild({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [purpose, setPurpose] = useState('');
  const [seats, setSeats] = useState('12');
  const decisions = useDecisions();
  const found = useWrite('POST /v1/guilds', { touches: ['GET /v1/guilds'] });
  const press = () => {
    const body = { name, seats: Number(seats), ...(purpose === '' ? {} : { purpose }) };
    found.mutate({ body, options: { idempotencyKey: decisions.keyFor(body) } }, { onSuccess: onClose });
  };
  return (
    <ConfirmDialog
      title={words.found}
      onClose={onClose}
      act={words.found}
      isPending={found.isPending}
      disabled={name.trim() === ''}
      onAct={press}
    >
      <div className="form">
        <TextField label={words.name} value={name} maxLength={80} onChange={(event) => setName(event.target.value)} />
        <AreaField
          label={words.purpose}
          value={purpose}
          maxLength={1000}
          onChange={(event) => setPurpose(event.target.value)}
        />
        <TextField
          label={words.seats}
          type="number"
          min={1}
          value={seats}
          onChange={(event) => setSeats(event.target.value)}
        />
        {found.error && (
          <p className="field-error" role="alert">
            {found.error.message}
          </p>
        )}
      </div>
    </ConfirmDialog>
  );
}

type Own = Item<'GET /v1/guilds'>['own'][number];
const told = ({ agentId, role }: Own) =>
  agentId === null ? words.you(words.roleNames[role]) : `${agentId}: ${words.roleNames[role]}`;
