import type { Ground } from './town.ts';

export interface Block {
  id: string;
  ground?: Ground;
  about: string;
  lines: string[];
}

/** Reads `# id @ground: about` and the lines under it; ground and about may be absent. */
export function blocksOf(source: string): Block[] {
  return source
    .split(/^# /m)
    .slice(1)
    .map((block) => {
      const [title = '', ...lines] = block.trim().split('\n');
      const [head = '', about = ''] = title.split(': ');
      const [id = '', ground] = head.split(' @');
      return { id, about, lines, ...(ground === undefined ? {} : { ground: ground as Ground }) };
    });
}
