/** The value of a variable, as text; undefined where it has none. */
export type Lookup = (name: string) => string | undefined;

export interface Expanded {
  text: string;
  /** Variables that have no value; their place in the text stays as it was. */
  unresolved: string[];
}

/** Values may name others; a chain longer than this, or a text that grows beyond `mostCharacters`, is left as it stands. */
const mostDepth = 10;
const mostCharacters = 10_000;
/** Values of all calls below one; a few lines could ask for billions. */
const mostSteps = 1_000;

/** `${X}`, `$X`, `${X:-d}`, `${X-d}`, `${X:+d}`, `${X:?said}` and `$$`, as compose and shells take them. Nothing is run. */
export function expand(text: string, lookup: Lookup): Expanded {
  const unresolved = new Set<string>();
  const budget = { steps: mostSteps };
  const expanded = expandWithin(text, { lookup, unresolved, budget }, 0);
  return { text: expanded, unresolved: [...unresolved] };
}

interface Within {
  lookup: Lookup;
  unresolved: Set<string>;
  budget: { steps: number };
}

function expandWithin(text: string, within: Within, depth: number): string {
  let out = '';
  for (let at = 0; at < text.length; ) {
    const next = text.indexOf('$', at);
    if (next === -1) return out + text.slice(at);
    out += text.slice(at, next);
    if (text[next + 1] === '$') {
      out += '$';
      at = next + 2;
      continue;
    }
    const found = reference(text, next);
    if (found === undefined) {
      out += '$';
      at = next + 1;
      continue;
    }
    out += valueOf(found, text.slice(next, found.end), within, depth);
    at = found.end;
    if (out.length > mostCharacters) {
      within.unresolved.add(found.name);
      return text;
    }
  }
  return out;
}

interface Reference {
  name: string;
  /** `:-`, `-`, `:+`, `+`, `:?`, `?` or nothing. */
  form: string;
  word: string;
  end: number;
}

function reference(text: string, at: number): Reference | undefined {
  const plain = /^\$([A-Za-z_]\w*)/.exec(text.slice(at, at + 200));
  if (plain) return { name: plain[1]!, form: '', word: '', end: at + plain[0].length };
  const open = /^\$\{([A-Za-z_]\w*)(:?[-+?])?/.exec(text.slice(at, at + 200));
  if (!open) return undefined;
  let depth = 1;
  for (let i = at + open[0].length; i < text.length; i++) {
    if (text[i] === '$' && text[i + 1] === '{') depth += 1;
    if (text[i] !== '}') continue;
    depth -= 1;
    if (depth > 0) continue;
    const word = text.slice(at + open[0].length, i);
    // `${X%suffix}` and the like are a shell's own; they are not guessed at.
    return open[2] === undefined && word !== '' ? undefined : { name: open[1]!, form: open[2] ?? '', word, end: i + 1 };
  }
  return undefined;
}

function valueOf({ name, form, word }: Reference, whole: string, within: Within, depth: number): string {
  within.budget.steps -= 1;
  if (depth >= mostDepth || within.budget.steps < 0) {
    within.unresolved.add(name);
    return whole;
  }
  const value = within.lookup(name);
  const there = value !== undefined && !(form.startsWith(':') && value === '');
  const again = (inner: string) => expandWithin(inner, within, depth + 1);
  if (form.endsWith('-')) return again(there ? value : word);
  if (form.endsWith('+')) return there ? again(word) : '';
  if (there) return again(value);
  within.unresolved.add(name);
  return whole;
}

/** Whole numbers with +, -, * and brackets, such as `100+7200` or `$((100 + 7200))`; undefined where the text is anything else. */
export function arithmetic(text: string): number | undefined {
  const body = /^\s*\$\(\((.*)\)\)\s*$/.exec(text)?.[1] ?? text;
  if (body.length > 200) return undefined;
  const tokens = body.match(/\d{1,12}|[-+*()]|\S/g) ?? [];
  let at = 0;
  const atom = (): number | undefined => {
    const token = tokens[at++];
    if (token === '-') return negated(atom());
    if (token === '(') {
      const inner = sum();
      return tokens[at++] === ')' ? inner : undefined;
    }
    return token !== undefined && /^\d/.test(token) ? Number(token) : undefined;
  };
  const product = (): number | undefined => {
    let value = atom();
    while (tokens[at] === '*') {
      at += 1;
      value = both(value, atom(), (a, b) => a * b);
    }
    return value;
  };
  const sum = (): number | undefined => {
    let value = product();
    while (tokens[at] === '+' || tokens[at] === '-') {
      const sign = tokens[at++] === '+' ? 1 : -1;
      value = both(value, product(), (a, b) => a + sign * b);
    }
    return value;
  };
  const value = sum();
  return at === tokens.length && value !== undefined && Number.isSafeInteger(value) ? value : undefined;
}

function negated(value: number | undefined): number | undefined {
  return value === undefined ? undefined : -value;
}

function both(
  a: number | undefined,
  b: number | undefined,
  combine: (a: number, b: number) => number,
): number | undefined {
  return a === undefined || b === undefined ? undefined : combine(a, b);
}
