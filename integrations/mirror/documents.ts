import { readFileSync } from 'node:fs';
import { publicDocuments } from '../../domain/public-mirror.ts';

/** Those pages of docs/ that may leave; an installation without its manual has none. */
export function readPublicDocuments(
  folder: URL = new URL('../../docs/', import.meta.url),
): Array<{ id: string; text: string }> {
  return publicDocuments.flatMap((id) => {
    try {
      return [{ id, text: readFileSync(new URL(id, folder), 'utf8') }];
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw err;
    }
  });
}
