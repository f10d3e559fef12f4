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
/** Of the instances of all templates of one name, by files, links and folder entries of the whole tree. */
const mostNamings = 500;
const instanceName = /^([^@/]+)@([^@/]+)\.service$/;
/** What systemd takes. A `%` there is filled in only where it stands. */
const takenName = /^[A-Za-z0-9:_.\\-]{1,200}$/;
const namingFiles = /\.(service|target|timer|socket|path)(\.d\/[^/]+\.conf)?$/;
const namingSettings = new Set(['Wants', 'Requires', 'BindsTo', 'Requisite', 'Upholds', 'Also', 'Unit']);

/**
 * Instances of a template, those named nearest to it first: of links and entries of `.wants` and `.requires` folders by their names
 * alone, no link is followed, and of what units say that they want. Where several templates have one name, an instance is of those
 * that lie nearest to what names it.
 */
export function unitInstances(tree: Tree, tell: (said: string) => void): (template: string) => UnitInstance[] {
  const templates = Map.groupBy(
    tree.files.filter((name) => name.endsWith('@.service')),
    templateName,
  );
  let found: ReadonlyMap<string, ReadonlyMap<string, readonly UnitInstance[]>> | undefined;

  function look() {
    const all = new Map<string, Map<string, UnitInstance>>();
    const told = new Set<string>();
    const add = (unit: string, namedBy: string) => {
      const [, template, instance = ''] = instanceName.exec(unit) ?? [];
      if (template === undefined || !templates.has(template) || !takenName.test(instance)) return;
      const known = all.get(template) ?? new Map<string, UnitInstance>();
      all.set(template, known);
      const naming = `${instance} ${namedBy}`;
      if (known.has(naming) || told.has(template)) return;
      if (known.size < mostNamings) known.set(naming, { instance, namedBy });
      else {
        told.add(template);
        tell(
          `instances of ${template}@.service are named more than ${mostNamings} times; the rest is left out, the first of it in ${namedBy}`,
        );
      }
    };
    for (const link of tree.links) add(posix.basename(link), link);
    for (const name of tree.files) {
      // With settings of its own it is a unit by itself.
      if (instanceName.test(posix.basename(name)) && !/^[ \t]*\[\w+\]/m.test(tree.read(name) ?? '[unread]'))
        add(posix.basename(name), name);
      if (!namingFiles.test(name)) continue;
      for (const setting of settingsOf(tree.read(name) ?? ''))
        if (namingSettings.has(setting.name)) for (const unit of setting.value.split(/\s+/)) add(unit, name);
    }
    return new Map([...all].map(([name, known]) => [name, byFolder([...known.values()], templates.get(name) ?? [])]));
  }

  return (template) => {
    found ??= look();
    const near = found.get(templateName(template));
    return foldersAbove(template).flatMap((folder) => near?.get(folder) ?? []);
  };
}

function templateName(file: string): string {
  return posix.basename(file).replace(/@\.service$/, '');
}

/** Each instance at the deepest folder that holds both what names it and a template. */
function byFolder(
  instances: readonly UnitInstance[],
  templates: readonly string[],
): ReadonlyMap<string, readonly UnitInstance[]> {
  const held = new Set<string>();
  for (const template of templates) {
    for (const folder of foldersAbove(template)) {
      if (held.has(folder)) break;
      held.add(folder);
    }
  }
  return Map.groupBy(instances, ({ namedBy }) => foldersAbove(namedBy).find((folder) => held.has(folder)) ?? '');
}

/** The nearest first, the one that holds all last. */
function foldersAbove(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return [...parts.map((_, i) => parts.slice(0, parts.length - i).join('/')), ''];
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
