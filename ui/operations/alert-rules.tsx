import type { Thing } from '../client.ts';
import { count, counted } from '../format.ts';
import { Badge, type Tone } from '../parts/badge.tsx';
import { Section } from '../parts/page.tsx';
import { Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useApi } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { operationsText } from '../texts/operations.ts';

const words = operationsText.rules;
type Rule = Thing<'Alerts'>['rules'][number];
const tones: Record<Rule['state'], Tone> = { firing: 'bad', pending: 'warn', unknown: 'plain', inactive: 'good' };

/** The alert rules as Prometheus judges them; without one, by which kinds of health the same is seen. */
export function AlertRules() {
  const may = useMay('operator');
  const alerts = useApi('GET /v1/alerts', {}, { enabled: may, everyMs: 30_000 });
  // They are of the whole installation, so not every operator's.
  if (!may || alerts.error?.status === 403) return null;
  return (
    <Section title={words.title}>
      <Shown of={alerts}>
        {({ source, reason, rules }) => {
          // One that fired and cannot be evaluated any more is unknown, and still has what it fired for.
          const active = keyed(rules).filter(
            ({ state, of }) => state === 'firing' || state === 'pending' || of.length > 0,
          );
          const unjudged = rules.filter(({ state }) => state === 'unknown');
          const all = counted(rules.length, words.one, words.many);
          return (
            <>
              {source === 'none' ? (
                <p role="status">{words.none(reason)}</p>
              ) : (
                (unjudged.length > 0 || active.length === 0) && (
                  <p role="status">
                    {unjudged.length > 0 ? (
                      <Badge tone="warn">{words.unjudged(count(unjudged.length), all)}</Badge>
                    ) : (
                      <Badge tone="good">{words.quiet}</Badge>
                    )}
                  </p>
                )
              )}
              {active.length > 0 && (
                <ul className="panel rows">
                  {active.map((rule) => (
                    <Firing key={rule.key} rule={rule} />
                  ))}
                </ul>
              )}
              <details open={unjudged.length > 0}>
                <summary>{words.all(all)}</summary>
                <AllRules rules={rules} />
              </details>
            </>
          );
        }}
      </Shown>
    </Section>
  );
}

/** A Prometheus may have an alert twice in a group, such as once for each severity. */
function keyed(rules: readonly Rule[]): Array<Rule & { key: string }> {
  const seen = new Map<string, number>();
  return rules.map((rule) => {
    const named = `${rule.group} ${rule.name} ${rule.severity}`;
    const before = seen.get(named) ?? 0;
    seen.set(named, before + 1);
    return { ...rule, key: `${named} ${before}` };
  });
}

function Firing({ rule: { name, state, severity, summary, reason, runbook, of } }: { rule: Rule }) {
  return (
    <li>
      <p>
        <Badge tone={tones[state]}>{words.states[state]}</Badge> <strong>{name}</strong>{' '}
        <span className="faint">{words.severities[severity as 'page'] ?? severity}</span>
      </p>
      {(of.length === 0 ? [{ summary, since: null, labels: {} }] : of).map((each) => (
        <p key={JSON.stringify(each.labels)} className="soft">
          {each.summary} {each.since !== null && <Time at={each.since} />}
        </p>
      ))}
      {state === 'unknown' && <p className="soft">{reason}</p>}
      {runbook !== '' && <p className="faint code">{runbook}</p>}
    </li>
  );
}

function AllRules({ rules }: { rules: readonly Rule[] }) {
  return (
    <Table
      caption={words.title}
      rows={keyed(rules)}
      keyOf={({ key }) => key}
      columns={[
        { title: words.rule, cell: ({ name }) => name },
        {
          title: words.state,
          cell: ({ state, reason }) => (
            <>
              <Badge tone={tones[state]}>{words.states[state]}</Badge> {state === 'unknown' && reason}
            </>
          ),
        },
        { title: words.urgency, cell: ({ severity }) => words.severities[severity as 'page'] ?? severity },
        { title: words.says, cell: ({ summary }) => summary },
        {
          title: words.health,
          cell: ({ health }) =>
            health.length === 0 ? words.noHealth : health.map((kind) => operationsText.healthKinds[kind]).join(', '),
        },
      ]}
    />
  );
}
