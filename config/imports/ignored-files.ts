import { posix } from 'node:path';
import type { Tree } from './tree.ts';

/** Whether git leaves a file out, by the `.gitignore` of its folder and those above; patterns of a name or a folder, as far as secrets need it. */
export function ignoredBy(tree: Tree): (name: string) => boolean {
  const rules = tree.files
    .filter((name) => posix.basename(name) === '.gitignore')
    .map((name) => ({ folder: posix.dirname(name), patterns: patternsOf(tree.read(name) ?? '') }));
  return (name) => {
    let ignored = false;
    for (const { folder, patterns } of rules.toSorted((a, b) => a.folder.length - b.folder.length)) {
      if (folder !== '.' && !name.startsWith(`${folder}/`)) continue;
      const below = folder === '.' ? name : name.slice(folder.length + 1);
      for (const { not, matches } of patterns) if (matches(below)) ignored = !not;
    }
    return ignored;
  };
}

function patternsOf(text: string): Array<{ not: boolean; matches: (name: string) => boolean }> {
  return text
    .split(/\r?\n/)
    .slice(0, 1_000)
    .flatMap((line) => {
      const plain = line.trim();
      if (plain === '' || plain.startsWith('#') || plain.length > 200) return [];
      const not = plain.startsWith('!');
      const pattern = plain.replace(/^!/, '').replace(/\/$/, '');
      const anchored = pattern.replace(/^\//, '').includes('/') || pattern.startsWith('/');
      const parts = pattern
        .replace(/^\//, '')
        .replace(/^\*\*\//, '')
        .split('/');
      // Part by part, so that no pattern can make the comparison slow.
      const matches = (name: string) => {
        const of = name.split('/');
        const from = anchored && !pattern.startsWith('**/') ? [0] : of.keys();
        for (const start of from)
          if (parts.every((part, i) => of[start + i] !== undefined && like(part, of[start + i]!))) return true;
        return false;
      };
      return [{ not, matches }];
    });
}

/** `*` is any run of characters, `?` any one. */
function like(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split(/\*+/);
  const at = (piece: string, from: number, exact: boolean): number => {
    for (let i = from; i + piece.length <= text.length; i++) {
      if (piece.split('').every((char, j) => char === '?' || char === text[i + j])) return i;
      if (exact) return -1;
    }
    return -1;
  };
  if (at(first, 0, true) === -1) return false;
  let end = first.length;
  for (const [i, piece] of rest.entries()) {
    const last = i === rest.length - 1;
    const found = last ? at(piece, Math.max(end, text.length - piece.length), true) : at(piece, end, false);
    if (found === -1) return false;
    end = found + piece.length;
  }
  return end === text.length;
}
