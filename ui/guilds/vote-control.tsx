import { ArrowDown, ArrowUp, X } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import type { Answer, Thing } from '../client.ts';
import { share } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { Choices, TextField } from '../parts/fields.tsx';
import { guildsText } from '../texts/guilds.ts';

const words = guildsText;
export type Choice = Answer<'PUT /v1/ballots/{id}/vote'>['choice'];
type Method = Thing<'Ballot'>['method'];

interface Props {
  method: Method;
  options: readonly string[];
  isBusy: boolean;
  onVote: (choice: Choice) => void;
}

/** Options stand on a ballot by their numbers, from 1 on. */
const numbered = (options: readonly string[]) => options.map((label, i) => ({ value: String(i + 1), label }));

/** The control that fits the method of a vote. */
export function VoteControl(props: Props) {
  if (props.method === 'single') return <OneOrSome {...props} type="radio" />;
  if (props.method === 'approval') return <OneOrSome {...props} type="checkbox" />;
  if (props.method === 'ranked') return <Ranked {...props} />;
  return <Shares {...props} />;
}

function Acts({
  isReady,
  isBusy,
  onVote,
  onAbstain,
}: {
  isReady: boolean;
  isBusy: boolean;
  onVote: () => void;
  onAbstain: () => void;
}) {
  return (
    <div className="form-acts">
      <Button kind="main" disabled={!isReady || isBusy} onClick={onVote}>
        {words.vote}
      </Button>
      <Button disabled={isBusy} onClick={onAbstain}>
        {words.abstain}
      </Button>
    </div>
  );
}

function OneOrSome({ type, options, isBusy, onVote }: Props & { type: 'radio' | 'checkbox' }) {
  const [chosen, setChosen] = useState<string[]>([]);
  const numbers = chosen.map(Number);
  return (
    <div className="form">
      <Choices
        label={type === 'radio' ? words.chooseOne : words.chooseSome}
        type={type}
        options={numbered(options)}
        chosen={chosen}
        onChange={setChosen}
      />
      <Acts
        isReady={chosen.length > 0}
        isBusy={isBusy}
        onVote={() => onVote(type === 'radio' ? numbers[0]! : numbers.toSorted((a, b) => a - b))}
        onAbstain={() => onVote(null)}
      />
    </div>
  );
}

/** Weighted and quadratic: shares of one's weight, as whole numbers that are taken in proportion. */
function Shares({ method, options, isBusy, onVote }: Props) {
  const [shares, setShares] = useState<Record<string, number>>({});
  const sum = Object.values(shares).reduce((total, share) => total + share, 0);
  return (
    <fieldset className="choices form">
      <legend>{words.giveShares}</legend>
      <p className="faint">{method === 'quadratic' ? words.quadraticHint : words.weightedHint}</p>
      {numbered(options).map(({ value, label }) => (
        <label key={value} className="guilds-share">
          <span>{label}</span>
          <input
            type="range"
            min={0}
            max={100}
            step={1}
            value={shares[value] ?? 0}
            onChange={(event) => setShares({ ...shares, [value]: Number(event.target.value) })}
          />
          <output>{share(sum === 0 ? 0 : (shares[value] ?? 0) / sum)}</output>
        </label>
      ))}
      <Acts
        isReady={sum > 0}
        isBusy={isBusy}
        onVote={() => onVote(Object.fromEntries(Object.entries(shares).filter(([, share]) => share > 0)))}
        onAbstain={() => onVote(null)}
      />
    </fieldset>
  );
}

/** The best first; by buttons, so that it is done by keyboard and by thumb as well. */
function Ranked({ options, isBusy, onVote }: Props) {
  const [order, setOrder] = useState<number[]>([]);
  const box = useRef<HTMLDivElement>(null);
  const focusNext = useRef<readonly string[]>([]);
  /** Whoever pressed a button that is gone or can do no more is at the first of these that can. */
  const become = (next: number[], ...then: string[]) => {
    focusNext.current = then;
    setOrder(next);
  };
  useEffect(() => {
    const buttons = focusNext.current.map((name) =>
      box.current?.querySelector<HTMLButtonElement>(`[data-act="${name}"]`),
    );
    focusNext.current = [];
    buttons.find((button) => button && !button.disabled)?.focus();
  }, [order]);
  const move = (from: number, to: number) => {
    const next = [...order];
    const [taken] = next.splice(from, 1);
    next.splice(to, 0, taken!);
    const acts = [`up-${taken}`, `down-${taken}`, `unrank-${taken}`];
    become(next, ...(to < from ? acts : acts.with(0, acts[1]!).with(1, acts[0]!)));
  };
  const left = options.flatMap((label, i) => (order.includes(i + 1) ? [] : [{ number: i + 1, label }]));
  return (
    <div className="form" ref={box}>
      <h3>{words.rankThem}</h3>
      <ol className="guilds-ranked">
        {order.map((number, i) => {
          const label = options[number - 1]!;
          return (
            <li key={number}>
              <span>
                {i + 1}. {label}
              </span>
              <Button
                kind="quiet"
                data-act={`up-${number}`}
                aria-label={words.up(label)}
                disabled={i === 0}
                onClick={() => move(i, i - 1)}
              >
                <ArrowUp aria-hidden />
              </Button>
              <Button
                kind="quiet"
                data-act={`down-${number}`}
                aria-label={words.down(label)}
                disabled={i === order.length - 1}
                onClick={() => move(i, i + 1)}
              >
                <ArrowDown aria-hidden />
              </Button>
              <Button
                kind="quiet"
                data-act={`unrank-${number}`}
                aria-label={words.unrank(label)}
                onClick={() =>
                  become(
                    order.filter((each) => each !== number),
                    `rank-${number}`,
                  )
                }
              >
                <X aria-hidden />
              </Button>
            </li>
          );
        })}
      </ol>
      {left.length > 0 && (
        <div className="form-acts" role="group" aria-label={words.notRanked}>
          {left.map(({ number, label }, i) => (
            <Button
              key={number}
              data-act={`rank-${number}`}
              onClick={() =>
                become(
                  [...order, number],
                  `rank-${(left[i + 1] ?? left[i - 1])?.number}`,
                  `up-${number}`,
                  `unrank-${number}`,
                )
              }
            >
              {label}
            </Button>
          ))}
        </div>
      )}
      <Acts isReady={order.length > 0} isBusy={isBusy} onVote={() => onVote(order)} onAbstain={() => onVote(null)} />
    </div>
  );
}

/** By whom: oneself, or an agent of one's own. */
export function VoterField({ value, onChange }: { value: string; onChange: (voter: string) => void }) {
  return (
    <TextField
      label={words.as}
      hint={words.asHint}
      value={value}
      maxLength={63}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}
