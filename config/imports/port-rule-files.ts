import { type PortRule, slugOf } from '../../domain/services.ts';
import { likeText, type Located, plainKey, textsOf } from './located-yaml.ts';
import { place } from './reader.ts';

/** Rules that a startup file states: `portRules: { health: +1 }`, or a list of `{ name, add, to }`, at any depth. */
export function portRulesOf(value: Located, file: string): PortRule[] {
  if (value.kind === 'list') return value.items.flatMap((item) => portRulesOf(item, file));
  if (value.kind === 'scalar') return [];
  return [...value.entries].flatMap(([key, { value: inner }]) =>
    /^(portrules?|derivedports)$/.test(plainKey(key)) ? rulesIn(inner, file) : portRulesOf(inner, file),
  );
}

function rulesIn(value: Located, file: string): PortRule[] {
  if (value.kind === 'map') {
    return [...value.entries].flatMap(([name, { line, value: inner }]) =>
      ruleOf(
        name,
        inner.kind === 'map' ? likeText(inner, 'add', 'offset') : textsOf(inner)[0],
        inner,
        place(file, line),
      ),
    );
  }
  if (value.kind === 'scalar') return [];
  return value.items.flatMap((item) =>
    ruleOf(likeText(item, 'name', 'port'), likeText(item, 'add', 'offset'), item, place(file, item.line)),
  );
}

function ruleOf(named: string | undefined, added: string | undefined, whole: Located, source: string): PortRule[] {
  const rule = named === undefined || added === undefined ? undefined : readPortRule(named, added);
  if (rule === undefined) return [];
  const to = slugOf(likeText(whole, 'to', 'of', 'from') ?? '');
  return [{ ...rule, ...(to === undefined ? {} : { to }), source }];
}

/** `health`, `+1`; also `port + 1`. */
export function readPortRule(name: string, added: string): PortRule | undefined {
  const slug = slugOf(name);
  const found = /^(?:main|port)?\s*(?:([+-])\s*)?(\d{1,5})$/i.exec(added.trim());
  if (slug === undefined || !found) return undefined;
  const add = Number(found[2]) * (found[1] === '-' ? -1 : 1);
  return add === 0 || Math.abs(add) > 65_535 ? undefined : { name: slug, add };
}
