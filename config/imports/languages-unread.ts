import type { Inventory } from '../../domain/readiness-inventory.ts';
import type { Tree } from './tree.ts';

interface TextFile {
  name: string;
  text: string;
}

/** Languages that are not read here, and how a repository shows that something of its own reads them. What a compiler refuses by itself needs none. */
const languages: Array<{ language: string; of: RegExp; linters: RegExp; namedIn: RegExp; configured: RegExp }> = [
  {
    language: 'TypeScript and JavaScript',
    of: /\.([cm]?[jt]s|[jt]sx)$/i,
    linters: /"(eslint|oxlint|knip|@biomejs\/biome|tslint|xo|standard)"\s*:/,
    namedIn: /(^|\/)package\.json$/,
    configured: /(^|\/)(\.eslintrc[\w.]*|eslint\.config\.\w+|\.oxlintrc\.json|biome\.jsonc?|deno\.jsonc?)$/,
  },
  {
    language: 'Ruby',
    of: /\.rb$/i,
    linters: /\b(rubocop|standardrb)\b/,
    namedIn: /(^|\/)Gemfile(\.lock)?$/,
    configured: /(^|\/)\.rubocop\.yml$/,
  },
  {
    language: 'PHP',
    of: /\.php$/i,
    linters: /\b(phpstan|psalm|php_codesniffer)\b/,
    namedIn: /(^|\/)composer\.json$/,
    configured: /(^|\/)(phpstan\.neon|psalm\.xml)(\.dist)?$/,
  },
  {
    language: 'Java and Kotlin',
    of: /\.(java|kt)$/i,
    linters: /\b(checkstyle|pmd|spotbugs|errorprone|detekt|ktlint)\b/i,
    namedIn: /(^|\/)(pom\.xml|[\w.-]+\.gradle(\.kts)?)$/,
    configured: /(^|\/)(checkstyle\.xml|detekt\.ya?ml)$/,
  },
  {
    language: 'Perl and Lua',
    of: /\.(pl|pm|lua)$/i,
    linters: /(?!)/,
    namedIn: /(?!)/,
    configured: /(^|\/)\.(perlcriticrc|luacheckrc)$/,
  },
];

/** Which languages of a repository nobody looks at: neither what is here, nor a linter that it names itself. */
export function languagesUnread(tree: Tree, files: readonly TextFile[]): Inventory['languagesUnread'] {
  return languages.flatMap(({ language, of, linters, namedIn, configured }) => {
    const written = files.filter(({ name }) => of.test(name) && !configured.test(name));
    const [first] = written;
    if (first === undefined || tree.files.some((name) => configured.test(name))) return [];
    if (tree.files.some((name) => namedIn.test(name) && linters.test(tree.read(name) ?? ''))) return [];
    return [{ language, files: written.length, first: first.name }];
  });
}
