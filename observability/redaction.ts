/** Values under these names never reach a log, however deep they stand. Counts such as `tokens` are numbers and stay. */
const secretName = /(?:authorization|cookie|token|secret|password|passwd|passphrase|credential|signature|key|once)s?$/i;
/** Of these the name alone says that no secret is meant. */
const harmlessName = /^(?:publicKey|foreignKey|primaryKey|idempotencyKey|priorityKey)$/;

const redacted = '[redacted]';
const deepest = 8;
const longestText = 8_192;

/** Secrets inside of texts, such as messages of errors: passwords in URLs, credentials of headers, tokens by their shape, `name=value`. */
const inTexts: ReadonlyArray<readonly [RegExp, string]> = [
  [/([a-z][a-z\d+.-]*:\/\/[^\s:/@]*):[^\s@/]+@/gi, `$1:${redacted}@`],
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${redacted}`],
  [/\b(?:sfr|sk_live|sk_test|rk_live|rk_test|whsec|xox[abpr]|ghp|glpat)[_-][\w.-]{6,}/g, redacted],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, redacted],
  [
    /\b((?:[\w-]*[_-])?(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|key|keys(?==)|authorization|cookie))("?\s*[=:]\s*"?)(?!\[redacted\]|\$)([^\s"'&,;)}\]]+)/gi,
    `$1$2${redacted}`,
  ],
];

export function redactText(text: string): string {
  const short = text.length > longestText ? `${text.slice(0, longestText)}… (${text.length} characters)` : text;
  return inTexts.reduce((clean, [pattern, by]) => clean.replace(pattern, by), short);
}

/** The same value without secrets, as plain JSON; errors with their message, stack, code and cause. */
export function redact(value: unknown): unknown {
  return walk(value, 0, new Set());
}

function walk(value: unknown, depth: number, above: Set<object>): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (above.has(value)) return '[circular]';
  if (depth >= deepest) return '[deeper]';
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  above.add(value);
  const found = inside(value, depth, above);
  above.delete(value);
  return found;
}

function inside(value: object, depth: number, above: Set<object>): unknown {
  if (Array.isArray(value)) return value.map((each) => walk(each, depth + 1, above));
  const own = Object.entries(value);
  const entries =
    value instanceof Error
      ? [
          ['type', value.name] as const,
          ['message', value.message] as const,
          ['stack', value.stack] as const,
          ...(value.cause === undefined ? [] : [['cause', value.cause] as const]),
          ...own.filter(([name]) => !['message', 'stack', 'cause', 'name'].includes(name)),
        ]
      : own;
  return Object.fromEntries(
    entries.map(([name, each]) => [name, isSecret(name, each) ? redacted : walk(each, depth + 1, above)]),
  );
}

function isSecret(name: string, value: unknown): boolean {
  const says = typeof value === 'string' ? value !== '' : typeof value === 'object' && value !== null;
  return says && secretName.test(name) && !harmlessName.test(name);
}
