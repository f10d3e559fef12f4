import type { ContainerFacts, ImageFacts, UnitFacts } from '../../domain/readiness-inventory.ts';
import { extendsOf, type FileNamed } from './compose-extends.ts';
import { composeFiles, dockerfileOf } from './compose-files.ts';
import { dockerfiles, instructionsOf } from './dockerfiles.ts';
import { entry, flagOf, type Located, scalarText, textAt, textsOf } from './located-yaml.ts';
import { type ImportFile, place } from './reader.ts';
import { systemdUnits } from './systemd-units.ts';
import { settingsOf } from './unit-settings.ts';

/** How the containers of a compose file run, as it says. */
export function containerFacts(file: ImportFile, fileNamed: FileNamed): ContainerFacts[] {
  if (file.documents === undefined || !composeFiles.takes(file)) return [];
  // What cannot be extended is told where services are read.
  const extend = extendsOf(file, fileNamed);
  return file.documents.flatMap((document) => {
    const services = entry(document, 'services')?.value;
    if (services?.kind !== 'map') return [];
    return [...services.entries].map(([name, { line, value }]) =>
      factsOf(
        name,
        line,
        extend(name, value, () => undefined),
        file.name,
      ),
    );
  });
}

function factsOf(name: string, line: number, value: Located, file: string): ContainerFacts {
  const deploy = entry(value, 'deploy')?.value;
  const limits = entry(entry(deploy, 'resources')?.value, 'limits')?.value;
  const policy = entry(deploy, 'restart_policy')?.value;
  const check = entry(value, 'healthcheck')?.value;
  const tested = textsOf(entry(check, 'test')?.value)[0];
  const volumes = volumesOf(entry(value, 'volumes')?.value);
  const grace = textAt(value, 'stop_grace_period');
  return {
    name,
    place: place(file, line),
    image: textAt(value, 'image') ?? null,
    dockerfile: dockerfileOf(entry(value, 'build')?.value, file) ?? null,
    user: textAt(value, 'user') ?? null,
    restart: textAt(value, 'restart') ?? (policy === undefined ? null : (textAt(policy, 'condition') ?? 'any')),
    healthCheck:
      check === undefined
        ? 'none'
        : flagOf(entry(check, 'disable')?.value) === true || tested === 'NONE'
          ? 'off'
          : 'own',
    privileged: flagOf(entry(value, 'privileged')?.value) === true,
    controlsHost: volumes.some(({ name: source }) => /(docker|podman|containerd)\.sock$/.test(source)),
    memoryLimit: textAt(value, 'mem_limit') !== undefined || textAt(limits, 'memory') !== undefined,
    stopSignal: textAt(value, 'stop_signal') ?? null,
    stopSeconds: grace === undefined ? null : secondsOf(grace),
    volumes,
    required: entry(value, 'profiles') === undefined && textAt(value, 'restart') !== 'no',
  };
}

/** `data:/var/lib`, `./data:/var/lib:ro`, and mappings. What is read alone keeps nothing. */
function volumesOf(value: Located | undefined): ContainerFacts['volumes'] {
  if (value?.kind !== 'list') return [];
  return value.items.flatMap((item): ContainerFacts['volumes'] => {
    if (item.kind === 'map') {
      const target = textAt(item, 'target');
      const source = textAt(item, 'source');
      if (target === undefined || textAt(item, 'type') === 'tmpfs') return [];
      return [{ name: source ?? target, target, bind: textAt(item, 'type') === 'bind' }];
    }
    if (item.kind !== 'scalar') return [];
    const [source = '', target, mode = ''] = scalarText(item).split(':');
    if (target === undefined) return source.startsWith('/') ? [{ name: source, target: source, bind: false }] : [];
    if (mode.split(',').includes('ro') && !source.endsWith('.sock')) return [];
    return [{ name: source, target, bind: /^[./~]/.test(source) }];
  });
}

/** `10s`, `1m30s`, `500ms`; undefined numbers are none. */
function secondsOf(text: string): number | null {
  let seconds = 0;
  let any = false;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|us|h|min|m|s)?/g)) {
    any = true;
    seconds += Number(amount) * ({ ms: 0.001, us: 0.000_001, s: 1, m: 60, min: 60, h: 3600 }[unit ?? 's'] ?? 1);
  }
  return any ? seconds : null;
}

/** The last stage of a Dockerfile. */
export function imageFacts(file: ImportFile): ImageFacts[] {
  if (!dockerfiles.takes(file)) return [];
  const all = instructionsOf(file.text);
  const from = all.findLastIndex(({ word }) => word === 'FROM');
  const stage = all.slice(from);
  const last = (word: string) => stage.findLast((instruction) => instruction.word === word);
  const [base = ''] = stage[0]!.rest.replace(/--platform=\S+\s*/, '').split(/\s+/);
  // A stage that is built on one before has that one's base, and its user.
  const parents = stagesBefore(all.slice(0, from), base);
  const started = last('ENTRYPOINT') ?? last('CMD');
  const check = last('HEALTHCHECK');
  const user = last('USER') ?? parents.flatMap((parent) => parent.filter(({ word }) => word === 'USER')).at(-1);
  const root = parents[0]?.[0]?.rest.replace(/--platform=\S+\s*/, '').split(/\s+/)[0] ?? base;
  return [
    {
      file: file.name,
      line: stage[0]!.line,
      base: root,
      user: user?.rest ?? null,
      healthCheck: check !== undefined && !/^none$/i.test(check.rest),
      shellForm: started !== undefined && !started.rest.trimStart().startsWith('[') && !/^exec\s/.test(started.rest),
      runs: started !== undefined,
      stopSignal: last('STOPSIGNAL')?.rest ?? null,
    },
  ];
}

type Instruction = ReturnType<typeof instructionsOf>[number];

/** The stages that one is built on, the first one first. */
function stagesBefore(all: readonly Instruction[], base: string): Instruction[][] {
  const starts = all.flatMap(({ word }, i) => (word === 'FROM' ? [i] : []));
  const stages = starts.map((at, i) => all.slice(at, starts[i + 1] ?? all.length));
  const found = stages.findIndex((stage) => new RegExp(`\\sas\\s+${escaped(base)}$`, 'i').test(stage[0]!.rest));
  if (found === -1) return [];
  const own = stages[found]!;
  const parent = own[0]!.rest.replace(/--platform=\S+\s*/, '').split(/\s+/)[0]!;
  return [...stagesBefore(stages.slice(0, found).flat(), parent), [...own]];
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

export function unitFacts(file: ImportFile): UnitFacts[] {
  if (!systemdUnits.takes(file)) return [];
  const settings = settingsOf(file.text);
  const last = (wanted: string) => settings.findLast(({ name }) => name === wanted)?.value;
  const start = settings.findLast(({ name, value }) => name === 'ExecStart' && value !== '');
  // What ends by itself is not started again.
  if (start === undefined || last('Type') === 'oneshot') return [];
  const seconds = last('TimeoutStopSec');
  return [
    {
      name: file.name
        .split('/')
        .at(-1)!
        .replace(/\.service$/, ''),
      place: place(file.name, start.line),
      restart: last('Restart') ?? null,
      user: last('User') ?? null,
      killSignal: last('KillSignal') ?? null,
      stopSeconds: seconds === undefined || seconds === 'infinity' ? null : secondsOf(seconds),
      killMode: last('KillMode') ?? null,
    },
  ];
}
