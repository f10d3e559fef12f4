import { useState } from 'react';
import { useNavigate } from '@tanstack/react-router';
import type { Thing } from '../client.ts';
import { useDecisions } from '../parts/decision.ts';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { AreaField, SelectField, TextField } from '../parts/fields.tsx';
import { useWrite } from '../queries.ts';
import { guildsText } from '../texts/guilds.ts';

const words = guildsText;
type Method = Thing<'Ballot'>['method'];
const methods: readonly Method[] = ['single', 'approval', 'weighted', 'quadratic', 'ranked'];

/** A proposal: what is asked, how it is voted on, and what follows. */
export function NewBallot({ guildId, onClose }: { guildId?: string; onClose: () => void }) {
  const [title, setTitle] = useState('');
  const [body, setBody] = useState('');
  const [method, setMethod] = useState<Method>('single');
  const [options, setOptions] = useState<string>(words.yesNo);
  const [seats, setSeats] = useState('');
  const [vote, setVote] = useState('3d');
  const decisions = useDecisions();
  const navigate = useNavigate();
  const propose = useWrite('POST /v1/ballots', { touches: ['GET /v1/ballots'] });
  const lines = options
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const press = () => {
    const asked = {
      title,
      text: body,
      method,
      options: lines,
      vote,
      ...(guildId === undefined ? {} : { guildId }),
      ...(guildId === undefined || seats === ''
        ? {}
        : { effect: { kind: 'guild_rule' as const, rule: { name: 'seats' as const, value: Number(seats) } } }),
    };
    propose.mutate(
      { body: asked, options: { idempotencyKey: decisions.keyFor(asked) } },
      { onSuccess: ({ id }) => void navigate({ to: '/ballots/$ballotId', params: { ballotId: id } }) },
    );
  };
  return (
    <ConfirmDialog
      title={words.propose}
      onClose={onClose}
      act={words.propose}
      isPending={propose.isPending}
      disabled={title.trim() === '' || lines.length < 2}
      onAct={press}
    >
      <div className="form">
        <TextField
          label={words.question}
          value={title}
          maxLength={200}
          onChange={(event) => setTitle(event.target.value)}
        />
        <AreaField label={words.why} value={body} maxLength={4000} onChange={(event) => setBody(event.target.value)} />
        <SelectField
          label={words.method}
          value={method}
          onChange={(event) => setMethod(event.target.value as Method)}
          options={methods.map((value) => ({ value, label: words.methods[value] }))}
        />
        <AreaField
          label={words.options}
          hint={words.optionsHint}
          value={options}
          onChange={(event) => setOptions(event.target.value)}
        />
        <SelectField
          label={words.voteLasts}
          value={vote}
          onChange={(event) => setVote(event.target.value)}
          options={(['1h', '1d', '3d', '7d'] as const).map((value) => ({ value, label: words.lives[value] }))}
        />
        {guildId !== undefined && (
          <TextField
            label={words.seatsRule}
            hint={words.seatsRuleHint}
            type="number"
            min={1}
            value={seats}
            onChange={(event) => setSeats(event.target.value)}
          />
        )}
        {propose.error && (
          <p className="field-error" role="alert">
            {propose.error.message} {propose.error.mend}
          </p>
        )}
      </div>
    </ConfirmDialog>
  );
}
