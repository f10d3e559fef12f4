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
    let whole = lines[i]!;
    if (/^\s*[#;]/.test(whole)) continue;
    while (whole.endsWith('\\') && i + 1 < lines.length) whole = `${whole.slice(0, -1)} ${lines[++i]!.trim()}`;
    const head = /^\s*\[([\w-]+)\]\s*$/.exec(whole);
    if (head) section = head[1]!;
    const found = /^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(whole);
    if (found) settings.push({ section, name: found[1]!, value: found[2]!, line });
  }
  return settings;
}
