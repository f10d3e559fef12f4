import { fine } from '../format.ts';
import { agentText } from '../texts/agent.ts';

interface Props {
  score: number;
  recency: number;
  importance: number;
  relevance: number;
}

const kinds = ['relevance', 'importance', 'recency'] as const;

/** Why a memory came to mind: what its score is made of. */
export function ScoreParts({ score, ...parts }: Props) {
  const words = agentText.score;
  return (
    <dl className="score">
      <div>
        <dt>{words.score}</dt>
        <dd>{fine(score)}</dd>
      </div>
      {kinds.map((kind) => (
        <div key={kind}>
          <dt>{words[kind]}</dt>
          <dd>
            <span className="score-bar" aria-hidden>
              <span style={{ width: `${Math.round(100 * Math.min(1, Math.max(0, parts[kind])))}%` }} />
            </span>
            {fine(parts[kind])}
          </dd>
        </div>
      ))}
    </dl>
  );
}
