import { type ServicePort, slugOf } from '../../domain/services.ts';
import { flagOf, likeEntry, likeText, type LocatedMap, plainKey, scalarText, textsOf } from './located-yaml.ts';
import { type FoundHealth, place } from './reader.ts';
import { type Expander, splitCommand } from './values.ts';

/** Ports of a mapping: `port`, `ports` in any form, and every `<name>_port`. */
export function portsOf(map: LocatedMap, expander: Expander, file: string): ServicePort[] {
  const ports: ServicePort[] = [];
  const add = (name: string, text: string, line: number) => {
    const port = expander.port(text, name === 'main' ? 'port' : `port ${name}`, place(file, line));
    if (port === undefined || ports.some((other) => other.port === port)) return;
    let unique = name;
    for (let i = 2; ports.some((other) => other.name === unique); i++) unique = `${name}-${i}`;
    ports.push({ name: unique, port });
  };
  for (const [key, { line, value }] of map.entries) {
    const plain = plainKey(key);
    if (
      value.kind === 'scalar' &&
      value.value !== null &&
      plain.endsWith('port') &&
      !/^(transport|export|import|support|report)$/.test(plain)
    ) {
      const before = slugOf(key.replace(/[-_ ]?port$/i, ''));
      add(
        before === undefined || /^(http|listen|service|base)$/.test(before) ? 'main' : before,
        scalarText(value),
        line,
      );
    }
    if (plain !== 'ports') continue;
    if (value.kind === 'map') {
      for (const [name, inner] of value.entries)
        for (const text of textsOf(inner.value)) add(slugOf(name) ?? 'main', text, inner.line);
    } else if (value.kind === 'scalar') add('main', scalarText(value), line);
    else {
      for (const item of value.items) {
        const number = likeText(item, 'port', 'number', 'value') ?? textsOf(item)[0];
        if (number !== undefined) add(slugOf(likeText(item, 'name') ?? '') ?? 'main', number, item.line);
      }
    }
  }
  // The one that rules add to, where names alone do not tell.
  if (ports.length > 0 && !ports.some(({ name }) => name === 'main')) {
    const main =
      ports.find(({ name }) => /^(api|web|grpc|http|server)$/.test(name)) ??
      (ports.length === 1 ? ports[0] : undefined);
    if (main !== undefined && !/^(health|metrics|debug|admin)$/.test(main.name)) main.name = 'main';
  }
  return ports;
}

/** A path, an address, or a mapping of them; `port` where it names a port of its own. */
export function healthOf(
  map: LocatedMap,
  expander: Expander,
  file: string,
): { check: FoundHealth; port?: ServicePort } | undefined {
  const found = likeEntry(map, 'healthcheck', 'health', 'healthurl', 'healthpath', 'healthendpoint');
  if (found === undefined || flagOf(found.value) === false) return undefined;
  const at = place(file, found.line);
  if (found.value.kind === 'scalar') {
    if (flagOf(found.value) === true) return { check: { kind: 'tcp', port: undefined } };
    return httpOf(expander.text(scalarText(found.value), 'its health check', at), undefined);
  }
  if (found.value.kind === 'list') return undefined;
  const inner = found.value;
  const numbered = likeText(inner, 'port');
  const port = numbered === undefined ? undefined : expander.port(numbered, 'port health', at);
  const command = likeEntry(inner, 'command', 'cmd', 'test', 'exec')?.value;
  const words = command?.kind === 'scalar' ? splitCommand(scalarText(command)) : textsOf(command);
  if (words.length > 0) return { check: { kind: 'command', command: expander.words(words, at) } };
  const path = likeText(inner, 'url', 'path', 'endpoint', 'http');
  if (path !== undefined) return httpOf(expander.text(path, 'its health check', at), port);
  if (/^tcp$/i.test(likeText(inner, 'type', 'kind') ?? '') || port !== undefined) {
    return { check: port === undefined ? { kind: 'tcp', port } : { kind: 'tcp', port }, ...ownPort(port) };
  }
  return /^http$/i.test(likeText(inner, 'type', 'kind') ?? '')
    ? { check: { kind: 'http', port: undefined, path: '/health' } }
    : undefined;
}

function httpOf(text: string, port: number | undefined): { check: FoundHealth; port?: ServicePort } | undefined {
  const address = /^https?:\/\/[^/\s:]+(?::(\d{1,5}))?(\/\S*)?$/.exec(text);
  const own = address?.[1] === undefined ? port : Number(address[1]);
  const path = address ? (address[2] ?? '/') : text.startsWith('/') ? text : undefined;
  if (path === undefined || path.length > 500 || (own !== undefined && (own < 1 || own > 65_535))) return undefined;
  return {
    check: own === undefined ? { kind: 'http', port: undefined, path } : { kind: 'http', port: own, path },
    ...ownPort(own),
  };
}

function ownPort(port: number | undefined): { port?: ServicePort } {
  return port === undefined ? {} : { port: { name: 'health', port } };
}
