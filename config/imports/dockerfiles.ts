import { posix } from 'node:path';
import type { ServicePort } from '../../domain/services.ts';
import { askedFromOutside } from './compose-files.ts';
import { type FoundService, place, type Reader } from './reader.ts';
import { createExpander, portsOfCommand, scriptOfCommand, splitCommand } from './values.ts';

/** The last stage of a Dockerfile: what it runs, exposes and asks after. */
export const dockerfiles: Reader = {
  takes: ({ name, text }) =>
    /(^|\/)((Dockerfile|Containerfile)([.-][\w.-]+)?|[\w.-]+\.(Dockerfile|dockerfile))$/.test(name) &&
    /^[ \t]*FROM\s/im.test(text),
  read(file, context) {
    const all = instructionsOf(file.text);
    const from = all.findLastIndex(({ word }) => word === 'FROM');
    const stage = all.slice(from);
    const base = stage[0]!;
    const args = new Map<string, string>();
    for (const { word, rest } of all) {
      if (word !== 'ARG' && word !== 'ENV') continue;
      for (const pair of splitCommand(rest)) {
        const at = pair.indexOf('=');
        if (at > 0) args.set(pair.slice(0, at), pair.slice(at + 1));
      }
      const spaced = word === 'ENV' ? /^(\w+)\s+([^\s=][^=]*)$/.exec(rest) : null;
      if (spaced) args.set(spaced[1]!, spaced[2]!);
    }
    const expander = createExpander((name) => args.get(name));
    const last = (word: string) => stage.findLast((instruction) => instruction.word === word);
    const entrypoint = last('ENTRYPOINT');
    const command = last('CMD');
    const line = (command ?? entrypoint ?? base).line;
    const at = place(file.name, line);
    const words = expander.words([...wordsOf(entrypoint?.rest), ...wordsOf(command?.rest)], at);
    const exposed = stage
      .filter(({ word }) => word === 'EXPOSE')
      .flatMap(({ rest, line: where }) =>
        rest.split(/\s+/).flatMap((text) => {
          const port = expander.port(text.replace(/\/(tcp|udp)$/i, ''), 'an exposed port', place(file.name, where));
          return port === undefined ? [] : [{ port, udp: /\/udp$/i.test(text) }];
        }),
      );
    const ports: ServicePort[] = exposed.map(({ port, udp }, i) => ({
      name: i === 0 ? 'main' : `port-${port}`,
      port,
      ...(udp ? { protocol: 'udp' as const } : {}),
    }));
    for (const port of portsOfCommand(words)) if (ports.length === 0) ports.push(port);
    const image = expander.text(base.rest.replace(/--platform=\S+\s*/, '').split(/\s+/)[0] ?? '', 'its base image', at);
    const check = last('HEALTHCHECK');
    const test =
      check === undefined ? [] : wordsOf(check.rest.replace(/^(--[\w-]+=\S+\s+)*/, '').replace(/^CMD\s+/i, ''));
    const service: FoundService = {
      name: nameOf(file.name),
      file: file.name,
      line,
      kind: 'container',
      machine: context.machine,
      ...(words.length === 0 ? {} : { command: words }),
      dockerfile: file.name,
      script: scriptOfCommand(words, { file: file.name, has: context.has }),
      ports,
      ...(test.length === 0 || /^none$/i.test(test[0]!) ? {} : { health: askedFromOutside(test, ports) }),
      dependsOn: [],
      required: true,
      gpu: /(^|\/)(nvidia|nvcr\.io)\/|\bcuda\b|-gpu\b|\brocm\b/i.test(image)
        ? { because: [`its image is built from ${image.slice(0, 200)} (${place(file.name, base.line)})`] }
        : undefined,
      unresolved: expander.unresolved,
    };
    return { images: [service] };
  },
};

function nameOf(file: string): string {
  const base = posix.basename(file);
  const own = /^(?:Dockerfile|Containerfile)[.-](.+)$/.exec(base)?.[1] ?? /^(.+)\.dockerfile$/i.exec(base)?.[1];
  if (own !== undefined && !/^(dev|prod|test|gpu|cpu|local)$/.test(own)) return own;
  const folder = posix.basename(posix.dirname(file));
  return folder === '.' ? 'image' : folder;
}

function wordsOf(rest: string | undefined): string[] {
  if (rest === undefined) return [];
  if (rest.trimStart().startsWith('[')) {
    try {
      const parsed: unknown = JSON.parse(rest);
      if (Array.isArray(parsed) && parsed.every((word) => typeof word === 'string')) return parsed;
    } catch (err) {
      // What is no JSON is a line for the shell, as the builder takes it.
      if (!(err instanceof SyntaxError)) throw err;
    }
  }
  return splitCommand(rest);
}

export function instructionsOf(text: string): Array<{ word: string; rest: string; line: number }> {
  const lines = text.split(/\r?\n/);
  const found: Array<{ word: string; rest: string; line: number }> = [];
  for (let i = 0; i < lines.length; i++) {
    const line = i + 1;
    if (/^\s*#/.test(lines[i]!)) continue;
    // Put together at the end: an instruction of thousands of lines would else be copied for each of them.
    const parts: string[] = [];
    let last = lines[i]!;
    for (; last.trimEnd().endsWith('\\') && i + 1 < lines.length; last = lines[i]!) {
      parts.push(last.trimEnd().slice(0, -1));
      // A comment between its lines ends nothing.
      do i += 1;
      while (i + 1 < lines.length && /^\s*#/.test(lines[i]!));
    }
    const whole = [...parts, parts.length > 0 && /^\s*#/.test(last) ? '' : last].join(' ');
    // A text for the shell of its own: its lines are no instructions.
    const heredoc = /<<-?\s*["']?(\w+)["']?/.exec(whole)?.[1];
    if (heredoc !== undefined) while (i + 1 < lines.length && lines[++i]!.trim() !== heredoc);
    const instruction = /^\s*([A-Za-z]+)\s+(\S.*)$/s.exec(whole);
    if (instruction) found.push({ word: instruction[1]!.toUpperCase(), rest: instruction[2]!.trimEnd(), line });
  }
  return found;
}
