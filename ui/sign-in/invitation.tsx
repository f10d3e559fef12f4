import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Problem, call } from '../client.ts';
import { dateTime } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { Loading } from '../parts/states.tsx';
import { text } from '../text.ts';

/** What a link or a mail invites to; to look at it uses nothing, and joining is a press. */
export function Invitation({ token, onDone }: { token: string; onDone: () => void }) {
  const queries = useQueryClient();
  const preview = useQuery({
    queryKey: ['POST /v1/invites/preview', token],
    queryFn: () => call('POST /v1/invites/preview', { body: { token } }),
    retry: false,
  });
  const [answer, setAnswer] = useState<{ joined?: string; problem?: Error; isBusy?: boolean }>({});

  const join = async () => {
    setAnswer({ isBusy: true });
    try {
      const joined = await accept(token);
      await queries.resetQueries({ predicate: ({ queryKey }) => queryKey[1] !== token });
      setAnswer({ joined });
    } catch (err) {
      setAnswer({ problem: err as Error });
    }
  };

  if (preview.isPending) return <Loading />;
  const problem = answer.problem ?? preview.error;
  const { data } = preview;
  return (
    <>
      <div role="status">
        {data && !answer.joined && (
          <p>
            {text.invite.of(quotable(data.inviter), quotable(data.guild))}{' '}
            {data.expiresAt && text.invite.until(dateTime(data.expiresAt))}
          </p>
        )}
        {answer.joined && <p>{answer.joined}</p>}
        {problem && <p>{refusal(problem)}</p>}
      </div>
      {data && !answer.joined && !(problem instanceof Problem && problem.code in text.invite.refusals) && (
        <Button kind="main" disabled={answer.isBusy} onClick={() => void join()}>
          {text.invite.join}
        </Button>
      )}
      <Button kind="quiet" onClick={onDone}>
        {answer.joined ? text.app.notFound.home : text.app.close}
      </Button>
    </>
  );
}

/** Who is signed in joins as themselves; else the secret of a mail shows who they are. */
async function accept(token: string): Promise<string> {
  try {
    await call('POST /v1/invites/accept', { body: { token } });
    return text.invite.joined;
  } catch (err) {
    if (!(err instanceof Problem) || err.status !== 401) throw err;
    const { isNewUser } = await call('POST /v1/invites/join', { body: { token } });
    return isNewUser ? text.invite.joinedNew : text.invite.joined;
  }
}

/** Words of somebody else are not taken for ours: nothing in them ends the quotation. */
const quotable = (words: string) => words.replaceAll(/[“”„‟"]/g, '’');

function refusal(err: Error): string {
  return (err instanceof Problem ? text.invite.refusals[err.code] : undefined) ?? err.message;
}
