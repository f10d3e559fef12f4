import { posix } from 'node:path';
import { type FoundService, type ImportFile, place, type Reader, type Reading, type ReadingContext } from './reader.ts';
import { filledIn, mostInstances } from './unit-instances.ts';
import { type Setting, settingsOf } from './unit-settings.ts';
import { createExpander, portsOfCommand, scriptOfCommand, splitCommand } from './values.ts';

/** What the instances of one template are filled in to, in all. */
const mostFilledIn = 1024 * 1024;

/** `*.service` with an ExecStart; of a template (`name@.service`) each instance that the tree names. */
export const systemdUnits: Reader = {
  takes: ({ name, text }) => name.endsWith('.service') && /^[ \t]*\[(Unit|Service)\]/m.test(text),
  read(file, context) {
    const name = posix.basename(file.name).replace(/\.service$/, '');
    const settings = settingsOf(file.text);
    const [template = '', instance] = name.split('@');
    if (instance === '') return instancesOf(file, template, settings, context);
    const own = instance === undefined ? settings : settings.map((each) => filled(each, { template, instance }));
    return unitOf(file, { name, settings: own, machine: context.machine }, context);
  },
};

function instancesOf(
  file: ImportFile,
  template: string,
  settings: readonly Setting[],
  context: ReadingContext,
): Reading {
  const all = onePerMachine(
    context
      .unitInstances(file.name)
      .filter(({ machine }) => context.machine === undefined || machine === undefined || machine === context.machine)
      .map(({ instance, machine }) => ({ instance, machine: context.machine ?? machine })),
  );
  if (all.length === 0) return { notes: [`${file.name} is a template without instances; it is left out`] };
  const notes: string[] = [];
  const services: FoundService[] = [];
  let left = mostFilledIn;
  for (const { instance, machine } of all) {
    if (services.length === mostInstances || left <= 0) {
      notes.push(
        `${file.name} has more instances than are read; those after the first ${services.length} are left out`,
      );
      break;
    }
    const own = settings.map((each) => filled(each, { template, instance }));
    left -= own.reduce((sum, { value }) => sum + value.length, 0);
    const read = unitOf(file, { name: `${template}@${instance}`, settings: own, machine }, context);
    services.push(...(read.services ?? []));
    notes.push(...(read.notes ?? []));
  }
  return { services, notes };
}

/** What names an instance and lies on no machine adds nothing to what names it on one. */
function onePerMachine<Named extends { instance: string; machine: string | undefined }>(
  all: readonly Named[],
): Named[] {
  const placed = new Set(all.flatMap(({ instance, machine }) => (machine === undefined ? [] : instance)));
  const known = new Set<string>();
  return all.filter(({ instance, machine = '' }) => {
    const one = `${instance}@${machine}`;
    if (known.has(one) || (machine === '' && placed.has(instance))) return false;
    known.add(one);
    return true;
  });
}

function filled(setting: Setting, of: { template: string; instance: string }): Setting {
  return { ...setting, value: filledIn(setting.value, of) };
}

/** `name@machine` is how ids tell machines apart, so that an instance has its name after a dash. */
function nameOf(unit: string): string {
  return unit.replace(/\.service$/, '').replace('@', '-');
}

function unitOf(
  file: ImportFile,
  { name, settings, machine }: { name: string; settings: readonly Setting[]; machine: string | undefined },
  context: ReadingContext,
): Reading {
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
    name: nameOf(name),
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
          .map(nameOf),
      ),
    ),
    required: last('Type') !== 'oneshot',
    own,
    environmentFiles: files,
    unresolved: expander.unresolved,
  };
  return { services: [service] };
}

/** `/srv/app/services/x.py` lies in the repository as `services/x.py`. */
function suffixes(word: string, folder: string | undefined): string[] {
  if (!word.startsWith('/')) return [word];
  const below = folder !== undefined && word.startsWith(`${folder}/`) ? [word.slice(folder.length + 1)] : [];
  const parts = word.split('/').filter((part) => part !== '');
  return [...below, ...parts.map((_, i) => parts.slice(i).join('/')).filter((path) => path.includes('/'))].slice(0, 16);
}
