import { posix } from 'node:path';
import type { Tree } from './tree.ts';
import { settingsOf } from './unit-settings.ts';

/** `worker@mail.service`: an instance of the template `worker@.service`, and what of the tree names it. */
export interface UnitInstance {
  instance: string;
  /** The file, link or folder entry. */
  namedBy: string;
}

/** Of one template. */
export const mostInstances = 100;
const instanceName = /^([^@/]+)@([^@/]+)\.service$/;
/** What systemd takes. A `%` there is filled in only where it stands. */
const takenName = /^[A-Za-z0-9:_.\\-]{1,200}$/;
const namingFiles = /\.(service|target|timer|socket|path)(\.d\/[^/]+\.conf)?$/;
const namingSettings = new Set(['Wants', 'Requires', 'BindsTo', 'Requisite', 'Upholds', 'Also', 'Unit']);

/**
 * Instances by the name of their template without its `@`: of links and entries of `.wants` and `.requires` folders by their names
 * alone, no link is followed, and of what units say that they want.
 */
export function unitInstances(tree: Tree): (template: string) => UnitInstance[] {
  let found: Map<string, UnitInstance[]> | undefined;
  /** Templates by the names of their files. */
  const rivals = Map.groupBy(
    tree.files.filter((name) => name.endsWith('@.service')),
    (name) => posix.basename(name),
  );

  function look(): Map<string, UnitInstance[]> {
    const all = new Map<string, UnitInstance[]>();
    const add = (unit: string, namedBy: string) => {
      const [, template, instance = ''] = instanceName.exec(unit) ?? [];
      if (template === undefined || !takenName.test(instance)) return;
      const known = all.get(template) ?? [];
      // One more than are taken, so that it can be told.
      if (known.length > mostInstances || known.some((each) => each.instance === instance && each.namedBy === namedBy))
        return;
      all.set(template, [...known, { instance, namedBy }]);
    };
    for (const link of tree.links) add(posix.basename(link), link);
    for (const name of tree.files) {
      // With settings of its own it is a unit by itself.
      if (instanceName.test(posix.basename(name)) && !/^\s*\[\w+\]/m.test(tree.read(name) ?? '[unread]'))
        add(posix.basename(name), name);
      if (!namingFiles.test(name)) continue;
      for (const setting of settingsOf(tree.read(name) ?? ''))
        if (namingSettings.has(setting.name)) for (const unit of setting.value.split(/\s+/)) add(unit, name);
    }
    return all;
  }

  return (template) => {
    found ??= look();
    const near = nearestTo(
      found.get(posix.basename(template).replace(/@\.service$/, '')) ?? [],
      template,
      rivals.get(posix.basename(template)) ?? [],
    );
    return near.filter(({ instance }, i) => near.findIndex((each) => each.instance === instance) === i);
  };
}

/** Where several templates have one name, an instance is of the one that lies nearest to what names it. */
function nearestTo(all: readonly UnitInstance[], template: string, rivals: readonly string[]): UnitInstance[] {
  if (rivals.length < 2) return [...all];
  return all.filter(({ namedBy }) => {
    const near = (file: string) => commonFolders(file, namedBy);
    return rivals.every((rival) => near(rival) <= near(template));
  });
}

function commonFolders(one: string, other: string): number {
  const [a, b] = [one, other].map((name) => name.split('/').slice(0, -1)) as [string[], string[]];
  let common = 0;
  while (common < a.length && a[common] === b[common]) common += 1;
  return common;
}

/** Of the specifiers those that follow from the name; others are of the host. */
export function filledIn(text: string, { template, instance }: { template: string; instance: string }): string {
  const last = (name: string) => name.slice(name.lastIndexOf('-') + 1);
  const values: Record<string, string> = {
    i: instance,
    I: unescaped(instance),
    p: template,
    P: unescaped(template),
    j: last(template),
    J: unescaped(last(template)),
    f: `/${unescaped(instance).replace(/^\//, '')}`,
    n: `${template}@${instance}.service`,
    N: `${template}@${instance}`,
    '%': '%',
  };
  return text.replaceAll(/%([%a-zA-Z])/g, (whole, letter: string) => values[letter] ?? whole);
}

/** `srv-a\x2db` is `srv/a-b`. What is no text that is shown stays as it is. */
function unescaped(name: string): string {
  const text = name.replaceAll(/-|\\x([0-9a-fA-F]{2})/g, (_, code: string | undefined) =>
    code === undefined ? '/' : String.fromCharCode(Number.parseInt(code, 16)),
  );
  return /[\p{Cc}\p{Cf}]/u.test(text) ? name : text;
}
