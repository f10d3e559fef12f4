import { DomainError } from '../../domain/errors.ts';
import { type Home, readJson } from './home.ts';

/** Where a fleet has gone that was moved to another deployment. */
export interface MovedTo {
  id: string;
  to: string;
  at: string;
}

export const movedFileOf = (home: Home) => home.path('moved.json');

/** @throws CONFLICT where the fleet lives elsewhere by now: two of one fleet would post and pay twice */
export function refuseMoved(home: Home): void {
  const moved = readJson<MovedTo>(movedFileOf(home));
  if (moved === undefined) return;
  throw new DomainError(
    'CONFLICT',
    `this fleet was moved to ${moved.to} (${moved.at}), and two of it would post and pay twice. If it never ran there: rm ${movedFileOf(home)}`,
  );
}
