import { posix } from 'node:path';
import type { ServicePort } from '../../domain/services.ts';
import { slugOf } from '../../domain/services.ts';
import { arithmetic, expand, type Lookup } from '../../domain/variables.ts';
import { pathFrom } from './tree.ts';

/** Names of variables and options that hold what nobody else may see. */
const secret =
  /(?:key|token|secret|passw(?:or)?d|passphrase|pwd|(?:^|[-_]|pg|db|user)pass|auth|authorization|bearer|credential|dsn)s?(?=$|[-_\d])/i;
/** Counts of tokens, as model servers are told them, are none. */
const count = /^\d+$/;
const counted = /tokens$/i;
/** The same inside of a word, as `sh -c` and probes have them. */
const assignment =
  /(?<![\w-])([\w-]*(?:key|token|secret|passw(?:or)?d|passphrase|pwd|auth|dsn))=("[^"]*"|'[^']*'|(?!\$)[^\s;&|"']+)/gi;
const authorization = /\b(bearer|basic)\s+(?!\$)[\w.~+/=-]{6,}/gi;
const addressWithPassword = /([a-z0-9+.-]:\/\/[^\s:/@]*):[^\s@/]+@/gi;
const mostWords = 200;

/** Expands the texts of one service and remembers what stayed open. */
export interface Expander {
  lookup: Lookup;
  unresolved: string[];
  /** Expanded text; variables without a value stay as they stand and are told as open. */
  text(text: string, what: string, place: string): string;
  /** A port number; undefined and told where it is none. */
  port(text: string, what: string, place: string): number | undefined;
  /** Words of a command; what is secret in it stays a variable and is told. */
  words(words: readonly string[], place: string): string[];
}

export function createExpander(lookup: Lookup): Expander {
  const unresolved: string[] = [];
  const open = (said: string) => {
    if (!unresolved.includes(said) && unresolved.length < 50) unresolved.push(said.slice(0, 900));
  };
  const text: Expander['text'] = (given, what, place) => {
    const expanded = expand(given, lookup);
    for (const name of expanded.unresolved) open(`${name} has no value, for ${what} (${place})`);
    return expanded.text;
  };
  return {
    lookup,
    unresolved,
    text,
    port(given, what, place) {
      const expanded = expand(given, lookup);
      for (const name of expanded.unresolved) open(`${name} has no value, for ${what} (${place})`);
      if (expanded.unresolved.length > 0) return undefined;
      const port = arithmetic(expanded.text);
      if (port !== undefined && port >= 1 && port <= 65_535) return port;
      open(`${what} is no port: ${expanded.text.slice(0, 60)} (${place})`);
      return undefined;
    },
    words(given, place) {
      // A secret is never copied into another file; the variable that holds it is named in its place.
      const hidden: Lookup = (name) => (isSecret(name, lookup(name) ?? '') ? undefined : lookup(name));
      const words = given.slice(0, mostWords).map((word) => {
        const expanded = expand(word, hidden);
        for (const name of expanded.unresolved) {
          if (!secret.test(name)) open(`${name} has no value, for the command (${place})`);
        }
        return expanded.text.slice(0, 2_000);
      });
      return words.map((word, i) =>
        withoutSecret(word, words[i - 1], () => open(`a secret stands in the command, and is not copied (${place})`)),
      );
    },
  };
}

function withoutSecret(word: string, before: string | undefined, tell: () => void): string {
  const named = /^(--?[\w-]+|[A-Za-z_]\w*)=(.+)$/s.exec(word);
  if (named && isSecret(named[1]!, named[2]!) && !named[2]!.startsWith('$')) {
    tell();
    return `${named[1]}=\${${variableOf(named[1]!)}}`;
  }
  if (before !== undefined && /^--?[\w-]+$/.test(before) && isSecret(before, word) && !/^[-$]/.test(word)) {
    tell();
    return `\${${variableOf(before)}}`;
  }
  const masked = word
    .replaceAll(addressWithPassword, (whole, start: string) =>
      /:\$\{[A-Za-z_]\w*\}@$/.test(whole) ? whole : `${start}:\${PASSWORD}@`,
    )
    .replaceAll(assignment, (whole, name: string, value: string) =>
      isSecret(name, value) ? `${name}=\${${variableOf(name)}}` : whole,
    )
    .replaceAll(authorization, (_, scheme: string) => `${scheme} \${TOKEN}`);
  if (masked !== word) tell();
  return masked;
}

function isSecret(name: string, value: string): boolean {
  return secret.test(name.replace(/^-+/, '')) && !(counted.test(name) && count.test(value));
}

function variableOf(option: string): string {
  return option.replace(/^-+/, '').replaceAll('-', '_').toUpperCase();
}

/** Words of a command line, with quotes as a shell takes them; what only a shell can do stays text. */
export function splitCommand(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!;
    if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else if (char === '\\' && quote === '"' && /["\\$]/.test(line[i + 1] ?? '')) word = (word ?? '') + line[++i]!;
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (char === '\\') {
      if (line[++i] !== '\n') word = (word ?? '') + (line[i] ?? '');
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + char;
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Ports that a command names: `--port 7200`, `--metrics-port=7201`, `-p 7200`, `--bind 0.0.0.0:7200`. */
export function portsOfCommand(words: readonly string[]): ServicePort[] {
  const ports: ServicePort[] = [];
  for (const [i, word] of words.entries()) {
    const option = /^(?:--?((?:[a-z]+[-_])*)port|-p)(?:=(.*))?$/i.exec(word);
    const bind = /^(?:--(?:bind|listen|addr|address|web\.listen-address)|-b)(?:=(.*))?$/i.exec(word);
    if (!option && !bind) continue;
    const value = (option ? option[2] : bind![1]) ?? words[i + 1] ?? '';
    const number = option ? /^(\d{1,5})$/.exec(value)?.[1] : /:(\d{1,5})$/.exec(value)?.[1];
    const port = Number(number);
    if (number === undefined || port < 1 || port > 65_535) continue;
    const name = slugOf(option?.[1] ?? '') ?? 'main';
    if (!ports.some((other) => other.name === name)) ports.push({ name, port });
  }
  return ports;
}

/** The file of the tree that a command starts: the first word that is one, or the module behind `-m`. */
export function scriptOfCommand(
  words: readonly string[],
  { file, folder, has }: { file: string; folder?: string | undefined; has: (name: string) => boolean },
): string | undefined {
  for (const [i, word] of words.entries()) {
    if (word === '-m' && words[i + 1] !== undefined) return moduleFile(words[i + 1]!, { file, folder, has });
    if (word.startsWith('-')) continue;
    const found =
      fileOf(word, { file, folder, has }) ??
      (/^[\w.]+:\w+$/.test(word) ? moduleFile(word, { file, folder, has }) : undefined);
    if (found !== undefined) return found;
  }
  return undefined;
}

interface Where {
  file: string;
  folder?: string | undefined;
  has: (name: string) => boolean;
}

/** A path as the file that names it may mean it: beside itself, below the working directory, or from any folder above. */
export function fileOf(named: string, { file, folder, has }: Where): string | undefined {
  const plain = named.replace(/^\.\//, '');
  const tries = [
    folder === undefined ? undefined : pathFrom(file, posix.join(folder, plain)),
    folder === undefined ? undefined : posix.normalize(posix.join(folder, plain)),
  ];
  for (let above = posix.dirname(file); ; above = posix.dirname(above)) {
    tries.push(pathFrom(`${above}/x`, plain));
    if (above === '.') break;
  }
  return tries.find((name) => name !== undefined && !name.startsWith('../') && has(name));
}

export function moduleFile(module: string, where: Where): string | undefined {
  const path = module.split(':')[0]!.replaceAll('.', '/');
  for (const candidate of [
    `${path}.py`,
    `${path}/__main__.py`,
    `${path}/__init__.py`,
    `src/${path}.py`,
    `src/${path}/__main__.py`,
  ]) {
    const found = fileOf(candidate, where);
    if (found !== undefined) return found;
  }
  return undefined;
}
