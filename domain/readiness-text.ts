import type { Mark } from './readiness-inventory.ts';

/** Secrets that have a form of their own, whatever they stand in. */
const forms: Array<[kind: string, about: string, pattern: RegExp]> = [
  ['secret.private_key', 'a private key', /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/],
  ['secret.aws_key', 'an access key of AWS', /(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])/],
  ['secret.github_token', 'a token of GitHub', /(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,})/],
  ['secret.slack_token', 'a token of Slack', /(?<!\w)xox[abprs]-[A-Za-z0-9-]{20,}/],
  ['secret.stripe_key', 'a live key of Stripe', /(?<!\w)[rs]k_live_[A-Za-z0-9]{16,}/],
  ['secret.google_key', 'a key of Google', /(?<!\w)AIza[\w-]{35}(?!\w)/],
  ['secret.openai_key', 'a key of OpenAI', /(?<!\w)sk-(?:proj-)?[A-Za-z0-9_-]{32,}/],
  ['secret.huggingface_token', 'a token of Hugging Face', /(?<!\w)hf_[A-Za-z0-9]{30,}/],
];
/** `postgres://user:password@host`; a variable in its place is none. */
const address = /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:/@"'${}<]{0,60}:(?<value>[^\s@/"'${}<>]{3,200})@[\w.-]/;
/** `password: …` and `API_KEY=…`. */
const assigned =
  /(?<![\w-])(?<name>[A-Za-z_][\w-]{0,60}?)["']?\s*(?::\s*|\s*=\s*)["']?(?<value>[A-Za-z0-9+/=_.~!@#%^&*-]{8,200})["']?\s*,?\s*(?:#.*)?$/;
const secretName =
  /(^|[_-])(password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?key)$/i;
const placeholder =
  /change|example|placeholder|your|dummy|sample|redacted|insert|todo|xxx|\*\*\*|^(test|none|null|true|false)|^\.+$/i;

/** Secrets that are known by the file they stand in. */
const atHome: Array<[of: RegExp, about: string, pattern: RegExp]> = [
  [/(^|\/)\.npmrc$/i, 'a token of npm', /(?:_authToken|_auth|_password)\s*=\s*["']?(?<value>[^\s"'$]{8,})/],
  [/(^|\/)[._]netrc$/i, 'a password of .netrc', /(?:^|\s)password\s+(?<value>[^\s$]{3,})/],
  [/(^|\/)\.pgpass$/i, 'a password of .pgpass', /^[^#:]*:[^:]*:[^:]*:[^:]*:(?<value>[^\s$]{3,})$/],
];

/** A shell's or YAML's line, to which a comment says nothing. */
function isComment(line: string): boolean {
  return /^\s*(#|\/\/|\*|--|;)/.test(line);
}

/** Files whose long words are sums of files, and no secrets. */
export const ofSums = /(^|\/)(package-lock\.json|[\w.-]+\.lock|go\.sum|[\w.-]+\.sha256|uv\.lock|pnpm-lock\.yaml)$/i;
const configuration = /(\.(ya?ml|env|ini|toml|cfg|conf|json|service|properties)|(^|\/)\.env[\w.-]*)$/i;

/**
 * Lines of one file that a pattern knows. The values of secrets leave this function in no way.
 * @param kept a file that git does not take: secrets are at home there
 */
export function marksOf(file: string, text: string, kept = false): Mark[] {
  if (ofSums.test(file)) return [];
  const marks: Mark[] = [];
  const looksItself = judgesItself.test(text);
  for (const [i, line] of text.split('\n').entries()) {
    if (line.length > 2_000) continue;
    const add = (kind: string, about: string) => {
      if (kind !== 'certificate.unchecked' || !looksItself) marks.push({ kind, about, file, line: i + 1 });
    };
    if (!kept) secretsOf(file, line, add);
    if (isComment(line)) continue;
    settingsOf(file, line, add);
  }
  return marks.slice(0, 1_000);
}

type Add = (kind: string, about: string) => void;

function secretsOf(file: string, line: string, add: Add): void {
  for (const [kind, about, pattern] of forms) {
    if (!pattern.test(line)) continue;
    add(kind, about);
    return;
  }
  for (const [of, about, pattern] of atHome) {
    const value = of.test(file) ? pattern.exec(line)?.groups?.['value'] : undefined;
    if (value === undefined || placeholder.test(value)) continue;
    add('secret.at_home', about);
    return;
  }
  const inAddress = address.exec(line)?.groups?.['value'];
  if (inAddress !== undefined && !placeholder.test(inAddress) && !/^(pass(word)?|secret|user)$/i.test(inAddress)) {
    add('secret.address', 'a password in an address');
    return;
  }
  const found = assigned.exec(line)?.groups;
  if (found === undefined || !secretName.test(found['name']!) || !isRandom(found['value']!)) return;
  add('secret.assigned', `the value of ${found['name']!.slice(0, 60)}`);
}

/** Letters and digits without a word's order; a name, a path or a version is none. */
function isRandom(value: string): boolean {
  if (placeholder.test(value) || /^[\d.]+$/.test(value) || /^[a-z]+([._/-][a-z]+)*$/i.test(value)) return false;
  if (!/[A-Za-z]/.test(value) || !/\d/.test(value)) return false;
  if (/^\w+(\.\w+)+(\(.*\))?$/.test(value) && !/[A-Z].*\d|\d.*[A-Z]/.test(value)) return false;
  return bitsOf(value) >= 2.8;
}

/** Shannon's, a character. */
function bitsOf(value: string): number {
  const counts = new Map<string, number>();
  for (const char of value) counts.set(char, (counts.get(char) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum - (count / value.length) * Math.log2(count / value.length), 0);
}

const off =
  /(--no-auth(entication)?\b|--disable-auth\b|--protected-mode\s+no\b|\bprotected-mode["']?\s*[:,]?\s*no\b|(?<![\w-])([\w-]*[_-])?auth(entication|orization)?[_-]?(enabled|required)["']?\s*[:=]\s*["']?(false|off|no|0)\b|(?<![\w-])(enable|require)[_-]?auth[\w-]*["']?\s*[:=]\s*["']?(false|off|no|0)\b|HOST_AUTH_METHOD["']?\s*[:=]\s*["']?trust\b|allow_anonymous["']?\s*[:=]?\s*["']?true\b|xpack\.security\.enabled["']?\s*[:=]\s*["']?false\b|(?<![\w-])(disable_auth|auth_disabled|skip_auth|no_auth)["']?\s*[:=]\s*["']?(true|on|yes|1)\b)/i;
/** Each by the language that says so. */
const unchecked: Array<[of: RegExp, pattern: RegExp]> = [
  [/\.py$/i, /(\bverify\s*=\s*False\b|\bCERT_NONE\b|_create_unverified_context)/],
  [/\.([cm]?js|tsx?|jsx)$/i, /rejectUnauthorized["']?\s*:\s*false/],
  [/\.(sh|bash|ya?ml|service)$|(^|\/)(Dockerfile|Makefile)/i, /\bcurl\b[^|;]*\s(-k|--insecure)\b/],
  [
    /\.(ya?ml|env|ini|toml|cfg|conf|json|service|sh)$|(^|\/)(\.env|Dockerfile)/i,
    /(NODE_TLS_REJECT_UNAUTHORIZED["']?\s*[:=]\s*["']?0|(?<![\w-])(ssl|tls)[_-]?verify["']?\s*[:=]\s*["']?(false|off|no|0)\b|insecure[_-]?skip[_-]?verify["']?\s*[:=]\s*["']?true)/i,
  ],
];
/** Node hands the certificate over: a file that asks for it, or for Node's own verdict, judges it by itself. */
const judgesItself = /\.authorized\b|\.getPeer(X509)?Certificate\(/;
const plainAddress = /\bhttp:\/\/(?:[^\s/@"']*@)?(?<host>[A-Za-z0-9.-]+\.[A-Za-z]{2,})(?=[:/"'\s]|$)/;
const ownNetwork = /(^|\.)(local|localhost|internal|lan|home|intranet|svc|cluster|localdomain|arpa|test|invalid)$/i;
const namesOnly =
  /(^|\.)(w3\.org|schema\.org|xmlsoap\.org|json-schema\.org|apache\.org|opengis\.net|purl\.org|xml\.org)$/i;
/** In code such words are names of patterns and options as often as settings. */
const code = /\.([cm]?js|tsx?|jsx|go|rs|java|rb)$/i;
const ignoring =
  /(signal\.signal\(\s*signal\.SIGTERM\s*,\s*signal\.SIG_IGN|trap\s+(''|"")\s+(SIG)?TERM|process\.on\(\s*['"]SIGTERM['"]\s*,\s*\(\)\s*=>\s*\{\s*\}\s*\))/;

function settingsOf(file: string, line: string, add: Add): void {
  const plain = line.replace(/\s#.*$/, '');
  const auth = code.test(file) ? undefined : off.exec(plain)?.[0];
  if (auth !== undefined) add('authentication.off', auth.trim().slice(0, 100));
  const cert = unchecked.find(([of, pattern]) => of.test(file) && pattern.test(plain));
  if (cert !== undefined)
    add(
      'certificate.unchecked',
      cert[1]
        .exec(plain)![0]
        .replace(/^curl.*/, 'curl asks for no certificate')
        .slice(0, 100),
    );
  if (configuration.test(file)) {
    const host = plainAddress.exec(plain)?.groups?.['host'];
    if (host !== undefined && !ownNetwork.test(host) && !namesOnly.test(host)) add('address.plain', `http://${host}`);
    if (/^\s*Standard(Output|Error)\s*=\s*null\s*$/.test(plain) || /^\s*driver\s*:\s*["']?none["']?\s*$/.test(plain))
      add('output.discarded', plain.trim());
  }
  if (ignoring.test(plain)) add('signal.ignored', 'it ignores SIGTERM');
}
