import { circlesOf } from './readiness-circles.ts';
import { byTool, placesOf, secretPlaces } from './readiness-running.ts';
import { type Finding, finding } from './readiness.ts';
import type { Inventory } from './readiness-inventory.ts';

export function assessCode(inventory: Inventory): Finding[] {
  const { modules, languagesUnread, tools } = inventory;
  const byFile = new Map(modules.map((module) => [module.file, module]));
  const imported = new Set(
    modules.flatMap(({ file, imports }) => imports.map((each) => each.file).filter((each) => each !== file)),
  );
  // A package that hands its modules on is imported by them as a matter of course.
  const counted = modules.filter(({ file }) => !file.endsWith('__init__.py'));
  const circles = circlesOf(
    new Map(
      counted.map(({ file, imports }) => [
        file,
        imports.filter(({ whenLoaded }) => whenLoaded).map((each) => each.file),
      ]),
    ),
  );
  const copies = Map.groupBy(
    modules.filter(({ likeness }) => likeness !== ''),
    ({ likeness }) => likeness,
  );
  const unused = placesOf(modules.flatMap((module) => module.unused.map(({ line }) => ({ file: module.file, line }))));
  const said = new Set([...unused, ...secretPlaces(inventory)]);
  const byRuff = placesOf(tools.filter(({ tool }) => tool === 'ruff').flatMap(({ findings }) => findings));
  return [
    ...modules
      .filter(({ file, reached }) => !reached && !imported.has(file))
      .map(({ file }) =>
        finding('module-unreachable', {
          subject: file,
          place: `${file}:1`,
          evidence: 'no service starts it, no module imports it, no file names it',
        }),
      ),
    ...[...copies.values()]
      .filter((all) => all.length > 1)
      .map((all) =>
        finding('module-duplicate', {
          subject: all
            .map(({ file }) => file)
            .toSorted()
            .join(' '),
          place: `${all[0]!.file}:1`,
          evidence: all.map(({ file }) => file).join(', '),
        }),
      ),
    ...modules.flatMap(({ file, unused }) =>
      unused.map(({ name, line }) =>
        finding('import-unused', {
          subject: `${file} ${name}`,
          place: `${file}:${line}`,
          evidence: `${name} is imported and not used`,
        }),
      ),
    ),
    ...circles.map((circle) =>
      finding('import-cycle', {
        subject: circle.toSorted().join(' '),
        place: `${circle[0]}:${byFile.get(circle[0]!)!.imports.find(({ file }) => file === (circle[1] ?? circle[0]))?.line ?? 1}`,
        evidence: [...circle, circle[0]].join(' → '),
      }),
    ),
    ...languagesUnread.map(({ language, files, first }) =>
      finding('code-unread', {
        subject: language,
        place: `${first}:1`,
        evidence: `${files} ${files === 1 ? 'file' : 'files'} of ${language}, and no linter of it is configured`,
      }),
    ),
    ...byTool(tools, 'ruff', 'code-by-tool', said),
    ...byTool(tools, 'vulture', 'code-by-tool', new Set([...said, ...byRuff])),
  ];
}
