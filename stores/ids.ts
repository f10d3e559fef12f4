import { v7 } from 'uuid';
import { type IdKind, idOf } from '../domain/ids.ts';

/** A new id, ordered by time of making. */
export function newId(kind: IdKind): string {
  return idOf(kind, v7());
}
