import { type ReadinessRuleId, readinessRules } from './readiness-rules.ts';
import type { GeneratedKind, RolloutFile } from './rollouts.ts';

/** The rollout.yaml that Soulfra ships: twelve packages that end what readiness finds, each verified by the rules that name it. */

export interface ShippedFor {
  /** All of the fleet, in the order in which they are deployed to: the canary first. */
  machines: readonly [string, ...string[]];
  repository: { machine: string; path: string };
}

interface Shipped {
  id: string;
  title: string;
  dependsOn: string[];
  changes: string[];
  expectedMinutes: number;
  /** What is written on a branch before a person is asked. */
  generate?: GeneratedKind[];
  /** What only people can do, and how it is known to be done. */
  manual: string;
  /** Whether services must be started anew for it. */
  deploy?: true;
  healthyMinutes: number;
  undo: string;
}

const merged = (path: string) =>
  `When the change is merged into the working tree of ${path}, run \`soulfra import\` and \`soulfra apply\`, and answer done.`;
const reverted = (what: string, path: string) =>
  `Revert ${what} in ${path}, run \`soulfra import\` and \`soulfra apply\`, and answer done.`;

const packages = (path: string): Shipped[] => [
  {
    id: 'WP-01',
    title: 'Hosts and ports',
    dependsOn: [],
    changes: ['services.*.ports', 'portRules'],
    expectedMinutes: 120,
    manual: `Give each service of a machine ports of its own, below 32768, with room for those that follow by a rule. \`soulfra readiness\` names every clash with file and line, also of ports that no file declares and of processes that listen already. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 5,
    undo: reverted('the changed ports', path),
  },
  {
    id: 'WP-02',
    title: 'Images',
    dependsOn: ['WP-01'],
    changes: ['services.*.image', 'services.*.build'],
    expectedMinutes: 240,
    generate: ['container-package'],
    manual: `Read what the branch of this package has for services without an image, and take over what you want of it on a branch of your own. Name a fixed version for every image, and a USER in each Dockerfile. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 5,
    undo: reverted('the changed images', path),
  },
  {
    id: 'WP-03',
    title: 'Graceful stop',
    dependsOn: ['WP-02'],
    changes: ['services.*.stop'],
    expectedMinutes: 120,
    manual: `Let each service end what it has in hand on SIGTERM and then exit, with at least 10 s for it; write commands of images as lists, so that no shell keeps the signal. Try each on its machine (\`soulfra readiness ${path} --local --try-stop SERVICE --keep\`), and accept what cannot be tried. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 5,
    undo: reverted('what was changed for stopping', path),
  },
  {
    id: 'WP-04',
    title: 'Placement',
    dependsOn: ['WP-01'],
    changes: ['services.*.machine'],
    expectedMinutes: 60,
    manual: `Let each service have a machine that the fleet has, and those that need a GPU one with a GPU; \`soulfra fleet map\` says where all are and why. ${merged(path)}`,
    healthyMinutes: 5,
    undo: reverted('the changed machines', path),
  },
  {
    id: 'WP-05',
    title: 'Connections',
    dependsOn: ['WP-04'],
    changes: ['services.*.dependsOn', 'services.*.environment'],
    expectedMinutes: 180,
    generate: ['environment'],
    manual: `The branch of this package lists the variables that services read and nothing sets: set them where secrets belong, not in git. Correct dependencies that go in a circle, lead to what nothing starts, or to a service of another machine that listens on its own host alone. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 5,
    undo: reverted('the changed connections', path),
  },
  {
    id: 'WP-06',
    title: 'API and health contract',
    dependsOn: ['WP-05'],
    changes: ['services.*.healthCheck'],
    expectedMinutes: 180,
    manual: `Give every service that listens a health check that fails when it cannot do its work, not only when it is gone; agree on one path, such as /healthz, and on what its API answers while it starts and stops. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 10,
    undo: reverted('the changed health checks', path),
  },
  {
    id: 'WP-07',
    title: 'Resilience',
    dependsOn: ['WP-03', 'WP-06'],
    changes: ['services.*.restart', 'services.*.volumes', 'backups'],
    expectedMinutes: 240,
    manual: `Let required services start again by themselves. Give each database a volume of its own and a backup, and restore one backup into an empty database before you answer. Then kill one required service and see it come back. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 10,
    undo: `Keep the volumes and backups. ${reverted('the other changes', path)}`,
  },
  {
    id: 'WP-08',
    title: 'Capacity',
    dependsOn: ['WP-04'],
    changes: ['services.*.gpu', 'services.*.memory', 'models'],
    expectedMinutes: 120,
    manual: `State how much GPU memory each service needs and how much memory it may take, name the version of each model, and free disk where little is left. Every machine has to be looked at while it runs: start its worker. ${merged(path)}`,
    healthyMinutes: 5,
    undo: reverted('the changed limits', path),
  },
  {
    id: 'WP-09',
    title: 'Logs and traces',
    dependsOn: ['WP-02'],
    changes: ['services.*.logs'],
    expectedMinutes: 60,
    manual: `Let every service write to the journal, to a file or to its container's output, a line an event, with the id of what it works on; nothing goes to /dev/null. Where traces are collected, hand \`traceparent\` on. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 5,
    undo: reverted('the changed outputs', path),
  },
  {
    id: 'WP-10',
    title: 'Access and secrets',
    dependsOn: ['WP-05'],
    changes: ['services.*.environment', 'services.*.access'],
    expectedMinutes: 240,
    manual: `Take every secret out of the repository and replace it where it is valid: whoever has the history knows the old one. Switch authentication and certificates on, publish databases on their own host or network alone, take privileges from containers. ${merged(path)}`,
    deploy: true,
    healthyMinutes: 5,
    undo: `Do not bring an old secret back. ${reverted('the other changes of access', path)}`,
  },
  {
    id: 'WP-11',
    title: 'Metrics and alerts',
    dependsOn: ['WP-06', 'WP-09'],
    changes: ['monitoring'],
    expectedMinutes: 120,
    manual: `Collect the metrics of every service that has a port for them, and let one alert fire by stopping what it watches; \`deploy/\` of Soulfra has a scrape configuration and alerts to begin with. ${merged(path)}`,
    healthyMinutes: 5,
    undo: reverted('the changed scrape configuration and alerts', path),
  },
  {
    id: 'WP-12',
    title: 'Reports and cleanup',
    dependsOn: ['WP-07', 'WP-08', 'WP-10', 'WP-11'],
    changes: ['docs', 'code'],
    expectedMinutes: 180,
    generate: ['cleanup-plan', 'runbooks'],
    manual: `The branch of this package has a cleanup plan and a runbook. Nothing was deleted: take out on a branch of your own what you agree to, complete the runbook, and merge both. Accept what is to stay (\`soulfra readiness accept\`), and keep \`soulfra readiness --format markdown\` as the report. ${merged(path)}`,
    healthyMinutes: 0,
    undo: reverted('what was taken out', path),
  },
];

/** As the file says it: what is by default is left out. */
export function shippedRollout({ machines, repository }: ShippedFor) {
  const [canary] = machines;
  return {
    version: 1 as const,
    repository,
    workPackages: packages(repository.path).map(
      ({ id, title, dependsOn, changes, expectedMinutes, generate = [], manual, deploy, healthyMinutes, undo }) => ({
        id,
        title,
        dependsOn,
        machines: [...machines],
        changes,
        expectedMinutes,
        steps: [
          ...generate.map((what) => ({ kind: 'generate' as const, what })),
          { kind: 'manual' as const, text: manual },
          ...(deploy ? [{ kind: 'deploy' as const, canary }] : []),
        ],
        verify: { rules: rulesOf(id), healthyMinutes },
        undo: [{ kind: 'manual' as const, text: undo }],
      }),
    ),
  } satisfies Omit<RolloutFile, 'workPackages'> & { workPackages: unknown[] };
}

/** The rules that name a package: what it must leave clean. */
function rulesOf(workPackage: string): ReadinessRuleId[] {
  return (Object.keys(readinessRules) as ReadinessRuleId[]).filter(
    (rule) => readinessRules[rule].workPackage === workPackage,
  );
}
