import { useState } from 'react';
import { Button } from '../parts/button.tsx';
import { useDecisions } from '../parts/decision.ts';
import { ConfirmDialog, Dialog } from '../parts/dialog.tsx';
import { Choices, SelectField, TextField } from '../parts/fields.tsx';
import { QrCode } from '../parts/qr-code.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useWrite } from '../queries.ts';
import { text } from '../text.ts';
import { guildsText } from '../texts/guilds.ts';

const words = guildsText;
type Target = 'link' | 'address' | 'agent' | 'user';

/** Invites somebody, or makes a link to pass on, also by a code that a phone reads. */
export function InviteDialog({ guildId, onClose }: { guildId: string; onClose: () => void }) {
  const [target, setTarget] = useState<Target>('link');
  const [to, setTo] = useState('');
  const [role, setRole] = useState<'member' | 'elder' | 'guest'>('member');
  const [expiresIn, setExpires] = useState('7d');
  const [uses, setUses] = useState('');
  const [link, setLink] = useState<string>();
  const decisions = useDecisions();
  const toasts = useToasts();
  const invite = useWrite('POST /v1/guilds/{id}/invites', { touches: ['GET /v1/guilds/{id}/invites'] });

  const press = () => {
    const whom = {
      link: { link: uses === '' ? {} : { uses: Number(uses) } },
      address: { address: to.trim() },
      agent: { agentId: to.trim() },
      user: { userId: to.trim() },
    }[target];
    const body = { ...whom, role, expiresIn };
    invite.mutate(
      { path: { id: guildId }, body, options: { idempotencyKey: decisions.keyFor(body) } },
      {
        onSuccess: ({ token }) => {
          decisions.over(body);
          // The secret of a link is shown this one time; it stands behind the #, which no server is sent.
          if (token !== undefined) return setLink(`${location.origin}/join#invite=${token}`);
          toasts.done(words.invited);
          onClose();
        },
      },
    );
  };

  if (link !== undefined) return <LinkShown link={link} onClose={onClose} />;
  return (
    <ConfirmDialog
      title={words.invite}
      onClose={onClose}
      act={target === 'link' ? words.makeLink : words.send}
      isPending={invite.isPending}
      disabled={target !== 'link' && to.trim() === ''}
      onAct={press}
    >
      <div className="form">
        <Choices
          label={words.whom}
          type="radio"
          options={(['link', 'address', 'agent', 'user'] as const).map((value) => ({
            value,
            label: words.targets[value],
          }))}
          chosen={[target]}
          onChange={([next]) => setTarget(next as Target)}
        />
        {target === 'link' ? (
          <TextField
            label={words.usesLimit}
            hint={words.usesHint}
            type="number"
            min={1}
            max={100}
            value={uses}
            onChange={(event) => setUses(event.target.value)}
          />
        ) : (
          <TextField
            label={words.toFields[target]}
            type={target === 'address' ? 'email' : 'text'}
            value={to}
            maxLength={254}
            onChange={(event) => setTo(event.target.value)}
          />
        )}
        <SelectField
          label={words.role}
          value={role}
          onChange={(event) => setRole(event.target.value as typeof role)}
          options={(['member', 'guest', 'elder'] as const).map((value) => ({ value, label: words.roles[value] }))}
        />
        <SelectField
          label={words.holds}
          value={expiresIn}
          onChange={(event) => setExpires(event.target.value)}
          options={(['1d', '7d', '30d'] as const).map((value) => ({ value, label: words.lives[value] }))}
        />
        {invite.error && (
          <p className="field-error" role="alert">
            {invite.error.message}
          </p>
        )}
      </div>
    </ConfirmDialog>
  );
}

function LinkShown({ link, onClose }: { link: string; onClose: () => void }) {
  const toasts = useToasts();
  const copy = () =>
    navigator.clipboard
      .writeText(link)
      .then(() => toasts.done(words.copied))
      .catch(toasts.failed);
  return (
    <Dialog title={words.linkReady} isOpen onClose={onClose} acts={<Button onClick={onClose}>{text.app.close}</Button>}>
      <p>{words.linkText}</p>
      <QrCode of={link} label={words.qr} />
      <TextField label={words.link} readOnly value={link} onFocus={(event) => event.target.select()} />
      {/* Without a secure context browsers give no clipboard. */}
      {(navigator as Partial<Navigator>).clipboard && (
        <Button kind="main" onClick={() => void copy()}>
          {words.copy}
        </Button>
      )}
    </Dialog>
  );
}
