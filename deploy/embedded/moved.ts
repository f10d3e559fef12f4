import { join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import { readJson, writeDurably } from './home.ts';

/** Where a fleet has gone that was moved to another deployment. */
export interface MovedTo {
  id: string;
  /** Folder of the deployment. */
  to: string;
  at: string;
  /** Its archive has its place in that folder; else it may have it, since whoever moved it was cut off. */
  whole: boolean;
}

const fileIn = (home: string) => join(home, 'moved.json');

export function recordMoved(home: string, moved: MovedTo): void {
  writeDurably(fileIn(home), `${JSON.stringify(moved, null, 2)}\n`, 0o644);
}

/**
 * @param home data folder of the fleet
 * @param options.endedIn folder of a deployment: a move into it that was cut off may be done again
 * @throws CONFLICT where the fleet lives elsewhere by now: two of one fleet would post and pay twice
 */
export function refuseMoved(home: string, { endedIn }: { endedIn?: string } = {}): void {
  const moved = readJson<MovedTo>(fileIn(home));
  if (moved === undefined || (!moved.whole && moved.to === endedIn)) return;
  throw new DomainError(
    'CONFLICT',
    moved.whole
      ? `this fleet was moved to ${moved.to} (${moved.at}), and two of it would post and pay twice. If it never ran there: rm ${fileIn(home)}`
      : `a move of this fleet to ${moved.to} was cut off (${moved.at}): end it with the same \`soulfra deploy init --from\`, or, if you never applied that folder: rm -r ${join(moved.to, 'moved')} ${fileIn(home)}`,
  );
}
