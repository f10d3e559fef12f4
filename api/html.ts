const markup = Symbol('markup');

/** Markup that may be sent. Only `html` and `json` make it, and they escape what is put in, so text of others is never code. */
export interface Html {
  readonly [markup]: string;
}

/** `false`, null and undefined stand for nothing. */
type Part = string | number | Html | false | null | undefined | readonly Part[];

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text: string): string {
  // What HTML cannot hold at all is left out.
  return (
    text
      .toWellFormed()
      // oxlint-disable-next-line no-control-regex -- these are the ones
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '')
      .replaceAll(/[&<>"']/g, (mark) => escapes[mark]!)
  );
}

function written(part: Part): string {
  if (part === false || part === null || part === undefined) return '';
  if (typeof part === 'string') return escaped(part);
  if (typeof part === 'number') return String(part);
  if (isHtml(part)) return part[markup];
  return part.map(written).join('');
}

function isHtml(part: Html | readonly Part[]): part is Html {
  return markup in part;
}

/** Attributes are always to be written in double quotes, and never those that hold scripts or styles. */
export function html(texts: TemplateStringsArray, ...parts: Part[]): Html {
  return { [markup]: texts.map((text, i) => text + (i < parts.length ? written(parts[i]) : '')).join('') };
}

/** Data for an element `script` of a type that browsers do not run: nothing in it can end the element. */
export function json(value: unknown): Html {
  return { [markup]: JSON.stringify(value).replaceAll('<', '\\u003c').replaceAll('&', '\\u0026') };
}

export function htmlText(page: Html): string {
  return `<!doctype html>\n${page[markup]}\n`;
}
