import { useState } from 'react';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/fields.tsx';
import { useWrite } from '../queries.ts';
import { text } from '../text.ts';
import { operationsText } from '../texts/operations.ts';

const words = operationsText;
const roles = ['reader', 'member', 'creator', 'operator'] as const;
type Role = (typeof roles)[number];
const days = [7, 30, 90, 365] as const;

/** Makes a token; its secret is shown this one time. */
export function NewToken({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('reader');
  const [lives, setLives] = useState('90');
  const make = useWrite('POST /v1/tokens', { touches: ['GET /v1/tokens'] });
  const press = () =>
    make.mutate({
      query: {},
      body: {
        kind: 'bearer',
        role,
        expiresInDays: lives === '' ? null : Number(lives),
        ...(name.trim() === '' ? {} : { name: name.trim() }),
      },
    });
  const made = make.data;
  return (
    <Dialog
      title={words.newToken}
      isOpen
      onClose={() => !make.isPending && onClose()}
      acts={
        <>
          <Button onClick={onClose} disabled={make.isPending}>
            {text.app.close}
          </Button>
          {made === undefined && (
            <Button kind="main" disabled={make.isPending} onClick={press}>
              {words.makeToken}
            </Button>
          )}
        </>
      }
    >
      {made === undefined ? (
        <div className="form">
          <TextField
            label={words.name}
            value={name}
            maxLength={80}
            onChange={(event) => setName(event.target.value)}
            error={make.error?.message}
          />
          <SelectField
            label={words.role}
            value={role}
            onChange={(event) => setRole(event.target.value as Role)}
            options={roles.map((value) => ({ value, label: words.roles[value] }))}
          />
          <SelectField
            label={words.lives}
            value={lives}
            onChange={(event) => setLives(event.target.value)}
            options={[
              ...days.map((value) => ({ value: String(value), label: words.livesDays(value) })),
              { value: '', label: words.livesEver },
            ]}
          />
        </div>
      ) : (
        <div className="form" role="status">
          <p>{words.secretOnce}</p>
          <TextField label={words.secret} readOnly value={made.token} onFocus={({ target }) => target.select()} />
        </div>
      )}
    </Dialog>
  );
}
