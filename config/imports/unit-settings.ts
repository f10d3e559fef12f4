/** A line of a unit file. */
export interface Setting {
  section: string;
  name: string;
  value: string;
  line: number;
}

export function settingsOf(text: string): Setting[] {
  const settings: Setting[] = [];
  let section = '';
  const lines = text.split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const line = i + 1;
    if (/^\s*[#;]/.test(lines[i]!)) continue;
    // Put together at the end: a line of thousands of parts would else be copied for each of them.
    const parts = [lines[i]!];
    while (parts.at(-1)!.endsWith('\\') && i + 1 < lines.length) {
      parts.push(parts.pop()!.slice(0, -1), lines[++i]!.trim());
    }
    const whole = parts.join(' ');
    const head = /^\s*\[([\w-]+)\]\s*$/.exec(whole);
    if (head) section = head[1]!;
    const found = /^\s*([A-Za-z]+)\s*=(.*)$/s.exec(whole);
    if (found) settings.push({ section, name: found[1]!, value: found[2]!.trim(), line });
  }
  return settings;
}
