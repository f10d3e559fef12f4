import { z } from 'zod';
import { slugSchema } from './ids.ts';
import { nearest } from './nearest.ts';
import { readinessRules } from './readiness-rules.ts';

/** rollout.yaml: the work packages that bring a fleet to production, in order, each with its proof and its undo. */

const textSchema = z.string().trim().min(1).max(2_000);
/** As findings name their package, such as `WP-01`. */
export const packageIdSchema = z
  .string()
  .max(63)
  .regex(
    /^[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*$/,
    'must be letters, digits and single dashes, starting with a letter',
  );
/** Below the repository: no way out of it, and nothing of git's own. */
const fileSchema = z
  .string()
  .min(1)
  .max(500)
  .refine(
    (path) =>
      !path.startsWith('/') &&
      !/[\0\r\n\\]/.test(path) &&
      path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && part.toLowerCase() !== '.git'),
    'must be a file below the repository, such as config/startup.yaml',
  );
/** A field of the fleet, such as `services.*.ports`; `*` stands for any name. */
const fieldSchema = z
  .string()
  .max(200)
  .regex(/^(?:[a-zA-Z][\w-]*|\*)(?:\.(?:[\w@-]+|\*))*$/, 'must be names with dots between, such as services.*.ports');
const commandSchema = z.array(z.string().max(10_000)).min(1).max(200);

const editSchema = z.strictObject({
  file: fileSchema,
  /** Must stand in the file exactly once. */
  find: z.string().min(1).max(20_000),
  replace: z.string().max(20_000),
});

const patchSchema = z.strictObject({
  kind: z.literal('patch'),
  /** Unified diff, as `git diff` writes it. */
  diff: z.string().min(1).max(200_000).optional(),
  edits: z.array(editSchema).min(1).max(200).optional(),
});

const commandStepSchema = z.strictObject({
  kind: z.literal('command'),
  /** Which of the machine's own trust file; its words are there, too, and must be these. */
  command: commandSchema,
  /** Default: each machine of the package, one after the other. */
  machines: z.array(slugSchema).min(1).max(200).optional(),
  timeoutMinutes: z.int().min(1).max(1_440).default(30),
});

const deploySchema = z.strictObject({
  kind: z.literal('deploy'),
  /** Default: all of the package's machines. */
  services: z.array(z.string().min(1).max(127)).min(1).max(5_000).optional(),
  /** The first machine; the others follow once it is well. Default: the first of the package's. */
  canary: slugSchema.optional(),
});

const manualSchema = z.strictObject({ kind: z.literal('manual'), text: textSchema });

const generatedKinds = ['container-package', 'environment', 'runbooks', 'cleanup-plan'] as const;
export type GeneratedKind = (typeof generatedKinds)[number];
const generateSchema = z.strictObject({ kind: z.literal('generate'), what: z.enum(generatedKinds) });

const stepSchema = z.discriminatedUnion('kind', [
  patchSchema,
  generateSchema,
  deploySchema,
  commandStepSchema,
  manualSchema,
]);

export type RolloutStep = z.infer<typeof stepSchema>;

/** Branches and images are undone by themselves; what a command or a person did needs its own way back. */
const undoSchema = z.discriminatedUnion('kind', [commandStepSchema, manualSchema]);

const packageSchema = z.strictObject({
  id: packageIdSchema,
  title: textSchema,
  dependsOn: z.array(packageIdSchema).max(200).default([]),
  /** Default: all of the fleet. */
  machines: z.array(slugSchema).min(1).max(200).optional(),
  /** What it changes: no two packages may change one field unless one waits for the other. */
  changes: z.array(fieldSchema).max(100).default([]),
  /** How long its steps take, as far as is known. */
  expectedMinutes: z.int().min(0).max(100_000).default(0),
  steps: z.array(stepSchema).min(1).max(100),
  verify: z
    .strictObject({
      /** Rules of readiness that must have no open finding. */
      rules: z.array(z.string().min(1).max(100)).max(200).default([]),
      /** Only findings about these count; `*` stands for anything. Default: about the package's machines, and what runs there. */
      subjects: z.array(z.string().min(1).max(300)).min(1).max(200).optional(),
      /** All that is required stays well for so long. */
      healthyMinutes: z.int().min(0).max(1_440).default(0),
    })
    .prefault({}),
  undo: z.array(undoSchema).max(100).default([]),
});
export type RolloutPackage = z.infer<typeof packageSchema>;

export const rolloutFileSchema = z.strictObject({
  version: z.literal(1),
  /** Where the branches of `patch` and `generate` go. */
  repository: z.strictObject({ machine: slugSchema, path: z.string().min(1).max(1_000) }).optional(),
  workPackages: z.array(packageSchema).min(1).max(500),
});
export type RolloutFile = z.infer<typeof rolloutFileSchema>;

export interface RolloutBreach {
  at: (string | number)[];
  rule: string;
  mend: string;
}

/** The shape that rules between packages need, of a file that need not be right in all else. */
const looseSchema = z.looseObject({
  workPackages: z.array(
    z
      .looseObject({ id: z.string(), dependsOn: z.array(z.string()).catch([]).default([]) })
      .catch({ id: '', dependsOn: [] }),
  ),
});

/** Ids used twice, missing and in a circle: of whatever can be read of the file. */
export function breachesOfOrder(plain: unknown): RolloutBreach[] {
  const read = looseSchema.safeParse(plain);
  if (!read.success) return [];
  const packages = read.data.workPackages;
  const ids = new Set(packages.map(({ id }) => id));
  const breaches: RolloutBreach[] = [];
  for (const [i, { id, dependsOn }] of packages.entries()) {
    // Their branches are files, too, where a file system knows no case.
    const first = packages.findIndex((other) => other.id.toLowerCase() === id.toLowerCase());
    if (id !== '' && first < i)
      breaches.push({ at: ['workPackages', i, 'id'], rule: `${id} is used twice`, mend: 'Rename one.' });
    for (const [j, other] of dependsOn.entries()) {
      if (ids.has(other)) continue;
      const meant = nearest(other, ids);
      const mend = meant === undefined ? 'Add that package, or remove it here.' : `Did you mean \`${meant}\`?`;
      breaches.push({ at: ['workPackages', i, 'dependsOn', j], rule: `${other} is no package`, mend });
    }
  }
  const circle = circleOf(packages);
  if (circle !== undefined) {
    const at = packages.findIndex(({ id }) => id === circle[0]);
    breaches.push({
      at: ['workPackages', at, 'dependsOn'],
      rule: `goes in a circle: ${[...circle, circle[0]].join(' needs ')}`,
      mend: 'Remove one of these dependencies.',
    });
  }
  return breaches;
}

/** What holds between the packages of a file that is right in itself. */
export function breachesOfRollout(
  file: RolloutFile,
  { machines }: { machines: readonly string[] | undefined },
): RolloutBreach[] {
  const breaches: RolloutBreach[] = [];
  const machineOf = (machine: string, at: RolloutBreach['at'], among = machines) => {
    if (among === undefined || among.includes(machine)) return;
    const meant = nearest(machine, among);
    const mend = meant === undefined ? `Name one of ${among.join(', ')}.` : `Did you mean \`${meant}\`?`;
    breaches.push({ at, rule: `${machine} is not one of its machines`, mend });
  };
  if (file.repository !== undefined) machineOf(file.repository.machine, ['repository', 'machine']);
  for (const [i, each] of file.workPackages.entries()) {
    const at = ['workPackages', i];
    for (const [j, machine] of (each.machines ?? []).entries()) machineOf(machine, [...at, 'machines', j]);
    const own = each.machines ?? machines;
    for (const [phase, steps] of [
      ['steps', each.steps],
      ['undo', each.undo],
    ] as const)
      for (const [j, step] of steps.entries()) {
        const here = [...at, phase, j];
        if (step.kind === 'command')
          for (const [k, machine] of (step.machines ?? []).entries()) machineOf(machine, [...here, 'machines', k], own);
        if (step.kind === 'deploy' && step.canary !== undefined) machineOf(step.canary, [...here, 'canary'], own);
        if (step.kind === 'patch' && (step.diff === undefined) === (step.edits === undefined))
          breaches.push({ at: here, rule: 'must have one of diff and edits', mend: 'Write one of the two.' });
        if ((step.kind === 'patch' || step.kind === 'generate') && file.repository === undefined)
          breaches.push({
            at: here,
            rule: 'needs a repository for its branch',
            mend: 'Add `repository: { machine, path }` at the top of the file.',
          });
      }
    const undone = each.steps.some(({ kind }) => kind === 'command');
    if (undone && each.undo.length === 0)
      breaches.push({
        at: [...at, 'steps'],
        rule: 'has a command, and the package has no undo',
        mend: 'Add `undo:` with the command, or the words for a person, that lead back.',
      });
    for (const [j, rule] of each.verify.rules.entries()) {
      if (Object.hasOwn(readinessRules, rule)) continue;
      const meant = nearest(rule, Object.keys(readinessRules));
      breaches.push({
        at: [...at, 'verify', 'rules', j],
        rule: `${rule} is no rule of readiness`,
        mend: meant === undefined ? 'docs/readiness-rules.md has them all.' : `Did you mean \`${meant}\`?`,
      });
    }
    if (each.verify.subjects !== undefined && each.verify.rules.length === 0)
      breaches.push({
        at: [...at, 'verify', 'subjects'],
        rule: 'has subjects, and no rule that could find anything of them',
        mend: 'Name `rules`, or leave the subjects out.',
      });
  }
  for (const { field, packages, ordered } of overlapsOf(file.workPackages)) {
    if (ordered) continue;
    const [first, second] = packages;
    breaches.push({
      at: ['workPackages', file.workPackages.findIndex(({ id }) => id === second), 'changes'],
      rule: `changes ${field}, which ${first} changes, and neither waits for the other`,
      mend: `Let one depend on the other, or leave the field to one.`,
    });
  }
  return breaches;
}

export interface RolloutOverlap {
  field: string;
  /** The one that comes first, and the other. */
  packages: [string, string];
  /** One waits for the other. */
  ordered: boolean;
}

export interface RolloutPlan {
  /** What can be done at once, as far as machines let it: each wave needs only those before it. */
  waves: string[][];
  /** The chain that takes longest; nothing is done sooner. */
  criticalPath: { packages: string[]; minutes: number };
  /** Two packages on one field, one after the other. */
  overlaps: RolloutOverlap[];
}

/** @param packages without a breach */
export function planRollout(packages: readonly RolloutPackage[]): RolloutPlan {
  const byId = new Map(packages.map((each) => [each.id, each]));
  const waveOf = new Map<string, number>();
  const chainOf = new Map<string, { packages: string[]; minutes: number }>();
  for (const id of inOrder(packages)) {
    const { dependsOn, expectedMinutes, verify } = byId.get(id)!;
    waveOf.set(id, Math.max(-1, ...dependsOn.map((other) => waveOf.get(other)!)) + 1);
    const before = dependsOn
      .map((other) => chainOf.get(other)!)
      .reduce((longest, chain) => (chain.minutes > longest.minutes ? chain : longest), {
        packages: [] as string[],
        minutes: 0,
      });
    chainOf.set(id, {
      packages: [...before.packages, id],
      minutes: before.minutes + expectedMinutes + verify.healthyMinutes,
    });
  }
  const waves: string[][] = [];
  for (const { id } of packages) (waves[waveOf.get(id)!] ??= []).push(id);
  const chains = [...chainOf.values()];
  const criticalPath = chains.reduce((longest, chain) =>
    chain.minutes > longest.minutes ||
    (chain.minutes === longest.minutes && chain.packages.length > longest.packages.length)
      ? chain
      : longest,
  );
  return { waves, criticalPath, overlaps: overlapsOf(packages) };
}

/** The package and all that wait for it, however far. */
export function dependantsOf(id: string, packages: readonly Pick<RolloutPackage, 'id' | 'dependsOn'>[]): Set<string> {
  const found = new Set<string>();
  const waiting = [id];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
    for (const each of packages)
      if (each.dependsOn.includes(next) && !found.has(each.id)) {
        found.add(each.id);
        waiting.push(each.id);
      }
  return found;
}

/** Every package after what it needs, else in the order of the file. */
function inOrder(packages: readonly Pick<RolloutPackage, 'id' | 'dependsOn'>[]): string[] {
  const done = new Set<string>();
  const byId = new Map(packages.map((each) => [each.id, each]));
  const visit = (id: string) => {
    if (done.has(id)) return;
    for (const other of byId.get(id)!.dependsOn) visit(other);
    done.add(id);
  };
  for (const { id } of packages) visit(id);
  return [...done];
}

function overlapsOf(packages: readonly RolloutPackage[]): RolloutOverlap[] {
  const after = new Map(packages.map(({ id }) => [id, dependantsOf(id, packages)]));
  return packages.flatMap((one, i) =>
    packages.slice(i + 1).flatMap((other): RolloutOverlap[] => {
      const field = one.changes.find((field) => other.changes.some((second) => sameField(field, second)));
      if (field === undefined) return [];
      const backwards = after.get(other.id)!.has(one.id);
      const packages: [string, string] = backwards ? [other.id, one.id] : [one.id, other.id];
      return [{ field, packages, ordered: backwards || after.get(one.id)!.has(other.id) }];
    }),
  );
}

/** One of the two is the other, or holds it. */
function sameField(one: string, other: string): boolean {
  const [first, second] = [one.split('.'), other.split('.')];
  const depth = Math.min(first.length, second.length);
  return first.slice(0, depth).every((part, i) => part === '*' || second[i] === '*' || part === second[i]);
}

/** @returns ids that need each other in a circle, each needing the next; undefined: there is none */
function circleOf(packages: readonly { id: string; dependsOn: readonly string[] }[]): string[] | undefined {
  const byId = Map.groupBy(packages, (each) => each.id);
  const clear = new Set<string>();
  for (const { id } of packages) {
    const path: string[] = [];
    const found = circleFrom(id, path);
    if (found !== undefined) return found;
  }
  return undefined;

  function circleFrom(id: string, path: string[]): string[] | undefined {
    if (clear.has(id) || !byId.has(id)) return undefined;
    const at = path.indexOf(id);
    if (at !== -1) return path.slice(at);
    path.push(id);
    for (const other of byId.get(id)!.flatMap(({ dependsOn }) => dependsOn)) {
      const found = circleFrom(other, path);
      if (found !== undefined) return found;
    }
    path.pop();
    clear.add(id);
    return undefined;
  }
}
