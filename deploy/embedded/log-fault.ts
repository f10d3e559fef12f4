import { readFileSync } from 'node:fs';

/** The lines of a log, from byte `from` on, that most likely say why its part did not come up. */
export function faultIn(file: string, from: number): string {
  return faultOf(readFileSync(file).subarray(from).toString('utf8'));
}

/** The few lines of a program's output that most likely say why it failed. */
export function faultOf(text: string): string {
  const lines = text.trim().split('\n').map(readable);
  const faults = lines.filter(
    (line) => /error|fatal|panic|cannot|could not|denied|in use/i.test(line) && !/^\s+at /.test(line),
  );
  const shown = faults.length > 0 ? faults : lines;
  return (
    shown
      .slice(-3)
      .map((line) => line.trim().slice(0, 400))
      .join(' · ') || 'it said nothing'
  );
}

/** Our own parts log JSON lines. */
function readable(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { level, msg, err } = JSON.parse(line) as {
      level?: string | number;
      msg?: string;
      err?: { message?: string };
    };
    const grave = level === 'fatal' || level === 'error' || Number(level) >= 50;
    return `${grave ? 'error: ' : ''}${[msg, err?.message].filter(Boolean).join(': ')}`;
  } catch {
    // Cut off, or not JSON after all.
    return line;
  }
}
