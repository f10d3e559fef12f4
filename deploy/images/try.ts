import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../embedded/own-parts.ts';

/** `node deploy/images/try.ts`, in the image: that it is what it is said to be. One line of JSON, or what is wrong with it. */

const at = (path: string) => join(repositoryRoot, path);
const writable = (path: string) => {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch (err) {
    if (['EACCES', 'EROFS', 'EPERM'].includes((err as NodeJS.ErrnoException).code ?? '')) return false;
    throw err;
  }
};
const { devDependencies, dependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as Record<
  'dependencies' | 'devDependencies',
  Record<string, string>
>;
interface Component {
  group?: string;
  name: string;
  version: string;
}
const { bomFormat, components } = JSON.parse(readFileSync(at('sbom.json'), 'utf8')) as {
  bomFormat: string;
  components: Component[];
};
/** Of a scope, npm names it apart in newer versions. */
const titleOf = ({ group, name, version }: Component) =>
  `${group === undefined || name.startsWith('@') ? '' : `${group}/`}${name}@${version}`;

/** Every package that lies there, by its own word. */
function packagesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((entry) => {
    if (entry.startsWith('.')) return [];
    const place = join(folder, entry);
    if (entry.startsWith('@')) return readdirSync(place).flatMap((name) => packageAt(join(place, name)));
    return packageAt(place);
  });
}
function packageAt(place: string): string[] {
  const inside = packagesIn(join(place, 'node_modules'));
  const file = join(place, 'package.json');
  if (!existsSync(file)) return inside;
  const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as Component;
  return [`${name}@${version}`, ...inside];
}
const lying = new Set(packagesIn(at('node_modules')));
const listed = new Set(components.map(titleOf));
const { workflowBundle } = (await import(at('workers/bundle.ts'))) as { workflowBundle: () => Promise<string> };
// It says who calls the servers, and is the largest part that could have no build for this platform.
await import('@temporalio/worker');

const faults = [
  ...(Number(process.versions.node.split('.')[0]) < 24 ? [`Node ${process.version}: 24 is needed`] : []),
  ...(process.getuid?.() === 0 ? ['it runs as root'] : []),
  ...(writable(repositoryRoot) ? [`${repositoryRoot} can be written`] : []),
  ...Object.keys(devDependencies)
    .filter((name) => dependencies[name] === undefined && existsSync(at(`node_modules/${name}/package.json`)))
    // Another package may bring it for itself.
    .filter((name) => !components.some((component) => component.name === name))
    .map((name) => `${name} is a development dependency`),
  ...(bomFormat === 'CycloneDX' ? [] : [`sbom.json is ${bomFormat}, not CycloneDX`]),
  ...[...lying].filter((title) => !listed.has(title)).map((title) => `${title} is not in sbom.json`),
  ...[...listed].filter((title) => !lying.has(title)).map((title) => `${title} is in sbom.json alone`),
  ...(existsSync(at('dist/ui/index.html')) ? [] : ['dist/ui/index.html is missing']),
  ...(existsSync(at('ui')) ? ['the sources of the pages are in it'] : []),
  ...((await workflowBundle()).startsWith(repositoryRoot) ? [] : ['the workflow bundle is not in it']),
];
if (faults.length > 0) {
  process.stderr.write(`${faults.join('\n')}\n`);
  process.exitCode = 1;
} else process.stdout.write(`${JSON.stringify({ node: process.versions.node, packages: components.length })}\n`);
