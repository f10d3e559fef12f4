import { dim, plain } from './output.ts';

/** What a format of another program has no place for, as the answer's header names it; beside the file, not in it. */
export function tellLost(headers: Headers): void {
  const lost = (headers.get('x-soulfra-lost') ?? '').split(',').filter((field) => field !== '');
  if (lost.length === 0) return;
  process.stderr.write(
    `${dim(`no place in this format: ${lost.map((field) => plain(decodeURIComponent(field))).join(', ')}`)}\n`,
  );
}
