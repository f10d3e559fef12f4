import { z } from 'zod';
import { DomainError, type FieldError } from './errors.ts';
import { nearest } from './nearest.ts';

/** A schema's complaint in plain words, with the place it speaks of. */
export interface ExplainedIssue extends FieldError {
  at: readonly PropertyKey[];
  /** What is wrong with the place: `key` = its name, `value` = what it holds, `missing` = it is not there. */
  about: 'key' | 'value' | 'missing';
}

export interface ExplainOptions {
  /** Names the keys that are known where an unknown one stands. */
  schema?: z.ZodType;
  /** Values are secrets: never repeat one. */
  hideValues?: boolean;
}

/** Each issue as rule and mend; one entry per unknown key. `input` is what was parsed. */
export function explainIssues(
  issues: readonly z.core.$ZodIssue[],
  input: unknown,
  options: ExplainOptions = {},
): ExplainedIssue[] {
  return issues.flatMap((issue): ExplainedIssue[] => {
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(options.schema, issue.path);
      return issue.keys.map((key) => explained([...issue.path, key], 'key', unknownKey(key, known)));
    }
    const value = valueAt(input, issue.path);
    if (issue.code === 'invalid_key') return [explained(issue.path, 'key', badKey(issue))];
    if (issue.code === 'invalid_type' || issue.code === 'invalid_value') {
      if (value === undefined) return [explained(issue.path, 'missing', missing(issue))];
    }
    return [explained(issue.path, 'value', badValue(issue, options.hideValues === true ? undefined : value))];
  });
}

/** The same as `fields` of a problem answer. */
function fieldErrors(error: z.ZodError, input: unknown, options?: ExplainOptions): FieldError[] {
  return explainIssues(error.issues, input, options).map(({ path, rule, mend }) => ({ path, rule, mend }));
}

/** What broke a schema as the error that a caller is told; `place` stands before each path. */
export function invalidInput(error: z.ZodError, input: unknown, schema: z.ZodType, place = ''): DomainError {
  const fields = fieldErrors(error, input, { schema }).map((field) => ({
    ...field,
    path: `${place}${field.path}`.replace(/\.$/, ''),
  }));
  const said = fields.map(({ path, rule }) => `${path === '' ? 'the body' : path} ${rule}`).join('; ');
  return new DomainError('INVALID_INPUT', said, { fields });
}

/** One field that is to blame, as the error a caller is told. */
export function fieldError(path: string, rule: string, mend: string): DomainError {
  return new DomainError('INVALID_INPUT', `${path} ${rule}`, { fields: [{ path, rule, mend }] });
}

type RuleAndMend = Pick<FieldError, 'rule' | 'mend'>;

function explained(at: readonly PropertyKey[], about: ExplainedIssue['about'], said: RuleAndMend): ExplainedIssue {
  return { at, about, path: at.map(String).join('.'), ...said };
}

function valueAt(input: unknown, at: readonly PropertyKey[]): unknown {
  return at.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? (value as Record<PropertyKey, unknown>)[key]
        : undefined,
    input,
  );
}

/** Keys that an object schema knows at a place; none where any key is allowed. */
function knownKeys(schema: z.ZodType | undefined, at: readonly PropertyKey[]): string[] {
  let here: unknown = schema;
  for (const key of at) {
    here = unwrapped(here);
    if (here instanceof z.ZodObject) here = here.shape[String(key)];
    else if (here instanceof z.ZodArray) here = here.element;
    else if (here instanceof z.ZodRecord) here = here.valueType;
  }
  here = unwrapped(here);
  if (here instanceof z.ZodRecord) return here.keyType instanceof z.ZodEnum ? here.keyType.options.map(String) : [];
  return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
}

function unwrapped(schema: unknown): unknown {
  let inner = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap();
  }
  return inner;
}

function unknownKey(key: string, known: readonly string[]): RuleAndMend {
  const meant = nearest(key, known);
  const mend = meant === undefined ? `Remove it; known here: ${known.join(', ')}.` : `Did you mean \`${meant}\`?`;
  return { rule: 'is not known here', mend: known.length === 0 ? 'Remove it.' : mend };
}

function badKey(issue: z.core.$ZodIssueInvalidKey): RuleAndMend {
  const key = String(issue.path.at(-1));
  const [inner] = issue.issues;
  if (inner?.code === 'invalid_value') {
    return { rule: `has a name that must be one of ${inner.values.join(', ')}`, mend: choose(key, inner.values) };
  }
  const written = inner?.code === 'invalid_format' ? rewritten(key, inner.pattern) : undefined;
  return {
    rule: `has a name that ${inner?.message ?? 'does not fit'}`,
    mend: written === undefined ? 'Rename it.' : `Rename it, for instance to \`${written}\`.`,
  };
}

function missing(issue: z.core.$ZodIssueInvalidType | z.core.$ZodIssueInvalidValue): RuleAndMend {
  const wanted =
    issue.code === 'invalid_value'
      ? issue.values.map((value) => `\`${String(value)}\``).join(' or ')
      : noun(issue.expected);
  return { rule: 'is required', mend: `Add \`${String(issue.path.at(-1) ?? 'it')}\`: ${wanted}.` };
}

function badValue(issue: z.core.$ZodIssue, value: unknown): RuleAndMend {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue, value);
    case 'invalid_value':
      return issue.values.length === 1
        ? { rule: `must be ${String(issue.values[0])}`, mend: `Write ${String(issue.values[0])}.` }
        : { rule: `must be one of ${issue.values.join(', ')}`, mend: choose(value, issue.values) };
    case 'too_small':
      return bound(issue.origin, 'at least', 'over', issue.inclusive !== false, issue.minimum, 'Raise it', 'Add to it');
    case 'too_big':
      return bound(
        issue.origin,
        'at most',
        'under',
        issue.inclusive !== false,
        issue.maximum,
        'Lower it',
        'Shorten it',
      );
    case 'invalid_format': {
      if (issue.format === 'url' && issue.message.startsWith('Invalid')) {
        return { rule: 'must be an http or https address', mend: 'Write it whole, such as http://127.0.0.1:11434/v1.' };
      }
      const written = typeof value === 'string' ? rewritten(value, issue.pattern) : undefined;
      return { rule: issue.message, mend: written === undefined ? 'Write it in that form.' : `Write \`${written}\`.` };
    }
    case 'custom':
      return { rule: issue.message, mend: String(issue.params?.['mend'] ?? 'Change it to follow the rule.') };
    default:
      return { rule: issue.message, mend: 'Change it to follow the rule.' };
  }
}

function wrongType(issue: z.core.$ZodIssueInvalidType, value: unknown): RuleAndMend {
  const wanted = noun(issue.expected);
  const scalar = typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string';
  const rule = value === null ? `must be ${wanted}, but is empty` : `must be ${wanted}`;
  if (issue.expected === 'string' && scalar) return { rule, mend: `Put it in quotes: "${value}".` };
  if (issue.expected === 'array' && scalar) return { rule, mend: `Write it as a list: [${value}].` };
  if (wanted.includes('number') && typeof value === 'string' && Number.isFinite(Number.parseFloat(value))) {
    return { rule, mend: `Write the number alone: ${Number.parseFloat(value)}.` };
  }
  if (issue.expected === 'boolean' && /^(yes|on|no|off)$/i.test(String(value))) {
    return { rule, mend: `Write ${/^(yes|on)$/i.test(String(value))}.` };
  }
  return { rule, mend: value === null ? 'Give it a value or remove the key.' : `Write ${wanted} there.` };
}

function noun(expected: string): string {
  const nouns: Record<string, string> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'a block of keys',
    record: 'a block of keys',
  };
  return nouns[expected] ?? expected;
}

function bound(
  origin: string,
  closed: string,
  open: string,
  inclusive: boolean,
  limit: number | bigint,
  ofNumber: string,
  ofOther: string,
): RuleAndMend {
  const than = `${inclusive ? closed : open} ${limit}`;
  if (origin === 'string') return { rule: `must hold ${than} character${limit === 1 ? '' : 's'}`, mend: `${ofOther}.` };
  if (origin === 'array') return { rule: `must hold ${than} entr${limit === 1 ? 'y' : 'ies'}`, mend: `${ofOther}.` };
  return { rule: `must be ${than}`, mend: `${ofNumber} to ${inclusive ? '' : 'something '}${than}.` };
}

function choose(value: unknown, values: readonly unknown[]): string {
  const meant = typeof value === 'string' ? nearest(value, values.map(String)) : undefined;
  return meant === undefined ? 'Choose one of them.' : `Did you mean \`${meant}\`?`;
}

/** A name put into the form that its pattern wants, if dashes, underscores and small letters are all that it takes. */
function rewritten(value: string, pattern: string | undefined): string | undefined {
  if (pattern === undefined) return undefined;
  const body = /^\/(.*)\/[a-z]*$/.exec(pattern)?.[1];
  if (body === undefined) return undefined;
  const words = value
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  const wanted = new RegExp(body);
  return [words.join('-'), words.join('_'), words.join('')].find(
    (candidate) => candidate !== '' && wanted.test(candidate),
  );
}
