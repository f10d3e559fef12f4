import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Item } from '../client.ts';
import { firstWeekday } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { dropsText } from '../texts/drops.ts';

const words = dropsText;
type Drop = Item<'GET /v1/drops'>;

const monthName = new Intl.DateTimeFormat(undefined, { month: 'long', year: 'numeric' });
const dayName = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const dayText = new Intl.DateTimeFormat(undefined, { dateStyle: 'full' });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

const keyOf = (day: Date) => `${day.getFullYear()}-${day.getMonth()}-${day.getDate()}`;
const timeOf = ({ publishAt, sentAt }: Drop) => publishAt ?? sentAt;

/** A month of posts by the reader's own clock; days with nothing on them are left out on a phone. */
export function Calendar({ drops }: { drops: readonly Drop[] }) {
  const [shown, setShown] = useState(() => new Date());
  const first = new Date(shown.getFullYear(), shown.getMonth(), 1);
  const begin = new Date(first);
  begin.setDate(1 - ((first.getDay() + 7 - firstWeekday) % 7));
  const byDay = new Map<string, Drop[]>();
  for (const drop of drops) {
    const at = timeOf(drop);
    if (at === null) continue;
    const key = keyOf(new Date(at));
    byDay.set(key, [...(byDay.get(key) ?? []), drop]);
  }
  const last = new Date(shown.getFullYear(), shown.getMonth() + 1, 0);
  const weeks = Math.ceil((Math.round((last.getTime() - begin.getTime()) / 86_400_000) + 1) / 7);
  const dayAt = (i: number) => new Date(begin.getFullYear(), begin.getMonth(), begin.getDate() + i);
  const move = (by: number) => setShown(new Date(shown.getFullYear(), shown.getMonth() + by, 1));
  const [today] = useState(() => keyOf(new Date()));
  return (
    <div className="drops-calendar">
      <div className="section-head">
        <p className="drops-month" aria-live="polite">
          {monthName.format(shown)}
        </p>
        <div className="form-acts">
          <Button onClick={() => move(-1)}>{words.before}</Button>
          <Button onClick={() => setShown(new Date())}>{words.today}</Button>
          <Button onClick={() => move(1)}>{words.after}</Button>
        </div>
      </div>
      <div className="drops-weekdays" aria-hidden>
        {Array.from({ length: 7 }, (_, i) => (
          <span key={i}>{dayName.format(dayAt(i))}</span>
        ))}
      </div>
      <ol className="drops-days">
        {Array.from({ length: weeks * 7 }, (_, i) => {
          const day = dayAt(i);
          const here = byDay.get(keyOf(day)) ?? [];
          return (
            <li
              key={i}
              data-outside={day.getMonth() !== shown.getMonth() || undefined}
              data-empty={here.length === 0 || undefined}
              aria-current={keyOf(day) === today ? 'date' : undefined}
            >
              <span className="drops-day" aria-hidden>
                {day.getDate()}
              </span>
              {here.length > 0 && <span className="hidden-text">{dayText.format(day)}</span>}
              {here.map((drop) => (
                <Link key={drop.id} to="/drops/$dropId" params={{ dropId: drop.id }} data-state={drop.state}>
                  {clock.format(new Date(timeOf(drop)!))} {drop.title || drop.body.slice(0, 30)}
                </Link>
              ))}
            </li>
          );
        })}
      </ol>
    </div>
  );
}
