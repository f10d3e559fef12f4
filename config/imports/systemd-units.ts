import { posix } from 'node:path';
import { type FoundService, place, type Reader } from './reader.ts';
import { createExpander, portsOfCommand, scriptOfCommand, splitCommand } from './values.ts';

interface Setting {
  section: string;
  name: string;
  value: string;
  line: number;
}

/** `*.service` with an ExecStart. Templates (`name@.service`) say nothing of how many there are, and are told. */
export const systemdUnits: Reader = {
  takes: ({ name, text }) => name.endsWith('.service') && /^\s*\[(Unit|Service)\]/m.test(text),
  read(file, context) {
    const name = posix.basename(file.name).replace(/\.service$/, '');
    if (name.endsWith('@')) return { notes: [`${file.name} is a template without instances; it is left out`] };
    const settings = settingsOf(file.text);
    // An empty ExecStart= takes back the ones before it; of several of a oneshot the last one is what stays.
    const start = settings.filter((setting) => setting.name === 'ExecStart').findLast(({ value }) => value !== '');
    if (start === undefined) return { notes: [`${file.name} starts nothing; it is left out`] };
    const all = (wanted: string) => settings.filter((setting) => setting.name === wanted).map(({ value }) => value);
    const last = (wanted: string) => all(wanted).at(-1);
    const own = new Map(
      all('Environment').flatMap((value) =>
        splitCommand(value).flatMap((pair) => {
          const at = pair.indexOf('=');
          return at > 0 ? [[pair.slice(0, at), pair.slice(at + 1)] as const] : [];
        }),
      ),
    );
    const files = all('EnvironmentFile').map((value) => value.replace(/^-/, ''));
    const at = place(file.name, start.line);
    const machine = context.machine;
    const expander = createExpander(
      context.variables({ machine, own, files: files.filter((path) => !path.startsWith('/')) }),
    );
    for (const path of files)
      if (path.startsWith('/')) expander.unresolved.push(`${path.slice(0, 200)} is not in the repository (${at})`);
    const folder = last('WorkingDirectory')?.replace(/^[-~]/, '');
    const words = expander.words(splitCommand(start.value.replace(/^[-@:+!|]+/, '')), at);
    const ports = portsOfCommand(words);
    for (const [variable, value] of own) {
      const found = /^(?:([A-Z]+)_)?PORT$/.exec(variable);
      const port = found ? expander.port(value, variable, at) : undefined;
      const portName = found?.[1]?.toLowerCase().replace(/^(http|listen)$/, 'main') ?? 'main';
      if (port !== undefined && !ports.some((other) => other.port === port || other.name === portName))
        ports.push({ name: portName, port });
    }
    const service: FoundService = {
      name,
      file: file.name,
      line: start.line,
      kind: 'unit',
      machine,
      command: words,
      script: scriptOfCommand(
        words.flatMap((word) => suffixes(word, folder)),
        { file: file.name, has: context.has },
      ),
      workingDirectory: folder,
      ports,
      dependsOn: ['Requires', 'Wants', 'BindsTo', 'Requisite'].flatMap((kind) =>
        all(kind).flatMap((value) =>
          value
            .split(/\s+/)
            .filter((unit) => unit.endsWith('.service'))
            .map((unit) => unit.replace(/\.service$/, '')),
        ),
      ),
      required: last('Type') !== 'oneshot',
      own,
      environmentFiles: files,
      unresolved: expander.unresolved,
    };
    return { services: [service] };
  },
};

/** `/srv/app/services/x.py` lies in the repository as `services/x.py`. */
function suffixes(word: string, folder: string | undefined): string[] {
  if (!word.startsWith('/')) return [word];
  const below = folder !== undefined && word.startsWith(`${folder}/`) ? [word.slice(folder.length + 1)] : [];
  const parts = word.split('/').filter((part) => part !== '');
  return [...below, ...parts.map((_, i) => parts.slice(i).join('/')).filter((path) => path.includes('/'))].slice(0, 16);
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
