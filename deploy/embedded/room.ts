import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { needRoom } from '../backup/folders.ts';

/** Databases that are made, their logs of changes, and a first day. */
const firstStartBytes = 1e9;
/** Of one that is there, which has to write in order to come up. */
const laterStartBytes = 100e6;

/** Before anything is made or changed. @throws DISK_FULL */
export function needRoomToStart(home: string): void {
  const isThere = existsSync(join(home, 'postgres', 'data', 'PG_VERSION'));
  needRoom(nearest(home), isThere ? laterStartBytes : firstStartBytes, `the data of ${home}`);
}

/** The folder itself may not be there yet. */
function nearest(folder: string): string {
  return existsSync(folder) || folder === dirname(folder) ? folder : nearest(dirname(folder));
}
