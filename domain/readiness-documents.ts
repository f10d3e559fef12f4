import { bareServices, composeLines, dockerfileLines } from './container-package.ts';
import { findingSeverities, readinessAreas } from './readiness.ts';
import type { Inventory } from './readiness-inventory.ts';
import { type ReadinessReport, type ReportedFinding, verdictWord } from './readiness-reports.ts';
import { type ReadinessRule, type ReadinessRuleId, readinessRules } from './readiness-rules.ts';
import type { Service } from './services.ts';

/** Seven documents from the same data, one after the other. */
export function readinessMarkdown(report: ReadinessReport, inventory: Inventory): string {
  const open = report.findings.filter(({ accepted }) => accepted === null);
  return `${[
    summary(report, open, inventory),
    blueprint(inventory),
    containerPackage(inventory),
    cleanup(open),
    security(report),
    operations(inventory, open),
    performance(inventory, open),
  ]
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

/** Text of a repository stands in a table's cell: it may not end it, nor be markup. */
function cell(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').replaceAll(/[\\|`<>*_[\]]/g, (char) => `\\${char}`);
}

/** Between marks of code, where no escape counts. */
function code(text: string): string {
  return `\`${text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029`|]+/gu, ' ')}\``;
}

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string[] {
  if (rows.length === 0) return ['None.'];
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...rows.map(row)];
}

function findingRows(findings: readonly ReportedFinding[]): string[] {
  return table(
    ['severity', 'rule', 'subject', 'where', 'seen', 'mend', 'package'],
    findings.map((each) => [
      each.severity,
      code(each.rule),
      cell(each.subject),
      each.place === null ? 'live' : code(each.place),
      cell(each.evidence),
      cell(each.mend),
      each.workPackage,
    ]),
  );
}

const mostHiddenTold = 10;

/** A note and no finding: nobody knows whether they are in use. */
function hiddenFolders({ hidden = [] }: Inventory): string[] {
  if (hidden.length === 0) return [];
  const more = hidden.length > mostHiddenTold ? ` and ${hidden.length - mostHiddenTold} more` : '';
  return ['', `Hidden folders were passed over: ${hidden.slice(0, mostHiddenTold).map(code).join(', ')}${more}.`];
}

function summary(report: ReadinessReport, open: readonly ReportedFinding[], inventory: Inventory): string[] {
  const of = (severity: string) => open.filter((each) => each.severity === severity);
  const byPackage = Map.groupBy(open, ({ workPackage }) => workPackage);
  const accepted = report.findings.flatMap((each) => (each.accepted === null ? [] : [{ ...each, by: each.accepted }]));
  return [
    '# 1. Executive summary',
    '',
    `**${verdictWord(report.verdict)}**: ${findingSeverities.map((severity) => `${report.counts[severity]} ${severity}`).join(', ')}; ${report.accepted} accepted, ${report.gone.length} gone since the run before.`,
    `${inventory.services.length} services on ${inventory.machines.length} machines, ${inventory.workPackages.length} work packages.`,
    ...hiddenFolders(inventory),
    '',
    '## Blockers',
    '',
    ...findingRows(of('critical')),
    '',
    '## Risks',
    '',
    ...findingRows([...of('high'), ...of('unknown')]),
    '',
    '## Timeline',
    '',
    'The critical path through the work packages of the repository: none of its steps can begin before the one above it is done.',
    '',
    ...longestChain(inventory).map((line, i) => `${i + 1}. ${line}`),
    '',
    'Open findings by the package of rollout.yaml that ends them:',
    '',
    ...table(
      ['package', 'critical', 'high', 'medium', 'low', 'unknown'],
      [...byPackage.keys()]
        .toSorted()
        .map((id) => [
          id,
          ...findingSeverities.map((severity) =>
            String(byPackage.get(id)!.filter((each) => each.severity === severity).length),
          ),
        ]),
    ),
    '',
    '## Accepted',
    '',
    ...table(
      ['rule', 'subject', 'until', 'by', 'reason'],
      accepted.map(({ rule, subject, by }) => [code(rule), cell(subject), by.until, cell(by.by), cell(by.reason)]),
    ),
  ];
}

/** What is not complete yet, in the longest chain of needs; what stands in a circle ends the chain. */
function longestChain({ workPackages }: Inventory): string[] {
  const byId = new Map(workPackages.map((each) => [each.id, each]));
  const longest = new Map<string, string[]>();
  const order: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  for (const { id } of workPackages) {
    const stack = [{ id, leave: false }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      if (top.leave) {
        state.set(top.id, 'done');
        order.push(top.id);
        continue;
      }
      if (state.has(top.id)) continue;
      state.set(top.id, 'open');
      stack.push({ id: top.id, leave: true });
      for (const need of byId.get(top.id)!.needs ?? []) if (byId.has(need)) stack.push({ id: need, leave: false });
    }
  }
  let best: string[] = [];
  for (const id of order) {
    const chains = (byId.get(id)!.needs ?? []).flatMap((need) => (longest.has(need) ? [longest.get(need)!] : []));
    const before = chains.toSorted((a, b) => b.length - a.length)[0] ?? [];
    const own = byId.get(id)!.completeness.state === 'complete' ? before : [...before, id];
    longest.set(id, own);
    if (own.length > best.length) best = own;
  }
  if (best.length === 0) return ['nothing is left to do'];
  return best.map((id) => {
    const { title, completeness, machine } = byId.get(id)!;
    const percent = completeness.percent === undefined ? '' : `, ${completeness.percent} %`;
    return `${code(id)} ${title === undefined ? '' : `${cell(title)} `}(${completeness.state}${percent}${machine === undefined ? '' : `, ${machine}`})`;
  });
}

function portsOf({ ports = [] }: Service): string {
  return ports
    .map(
      ({ name, port, derived, protocol }) =>
        `${name} ${port}${protocol === 'udp' ? '/udp' : ''}${derived === undefined ? '' : ' (derived)'}`,
    )
    .join(', ');
}

function blueprint({ services, machines }: Inventory): string[] {
  const places = [...machines.map(({ id }) => id), undefined];
  return [
    '# 2. Architecture blueprint',
    ...places.flatMap((machine) => {
      const there = services.filter((service) => service.machine === machine);
      if (there.length === 0) return [];
      const vram = machines.find(({ id }) => id === machine)?.vramGiB ?? [];
      const gpus = vram.length === 0 ? '' : `, ${vram.join(' + ')} GiB of GPU memory`;
      return [
        '',
        `## ${machine ?? 'no machine named'}: ${there.length} services${gpus}`,
        '',
        ...table(
          ['service', 'kind', 'ports', 'depends on', 'GPU', 'required', 'described'],
          there.map((service) => [
            code(service.id),
            service.kind,
            cell(portsOf(service)),
            cell((service.dependsOn ?? []).join(', ')),
            service.gpu === undefined ? '' : service.gpu.vramGiB === undefined ? 'yes' : `${service.gpu.vramGiB} GiB`,
            service.required === false ? 'no' : 'yes',
            code(service.source),
          ]),
        ),
      ];
    }),
  ];
}

/** For processes that no image is built for; made up of what the files say, to be read before it is used. */
function containerPackage({ services }: Inventory): string[] {
  const bare = bareServices(services);
  return [
    '# 3. Container package',
    '',
    `${bare.length} services run as plain processes. One image serves all that are Python; each has its command, ports, environment and volume below.`,
    '',
    '```dockerfile',
    ...dockerfileLines(bare),
    '```',
    '',
    '```yaml',
    ...composeLines(bare, { build: '.', envFile: '.env' }),
    '```',
  ];
}

const cleaning: readonly ReadinessRuleId[] = [
  'deprecated-copy',
  'only-in-old-copy',
  'variable-unused',
  'described-differently',
];

/** What can be taken away, each with its reason; nothing of it is. */
export function cleanupRows(open: readonly ReportedFinding[]): string[] {
  const all = open.filter(({ area, rule }) => area === 'code' || area === 'work_packages' || cleaning.includes(rule));
  return findingRows(all.filter(({ severity }) => severity !== 'unknown'));
}

function cleanup(open: readonly ReportedFinding[]): string[] {
  return [
    '# 4. Cleanup plan',
    '',
    'Nothing is deleted by Soulfra. Each of these is for a branch of its own, with the reason in its commit.',
    '',
    ...cleanupRows(open),
  ];
}

function security({ findings }: ReadinessReport): string[] {
  const all = findings.filter(({ area }) => area === 'security');
  return [
    '# 5. Security guide',
    '',
    'Values of secrets are shown nowhere. A secret that stood in a repository is known to all who have its history: it is replaced, not only removed.',
    '',
    ...findingRows(all.filter(({ accepted }) => accepted === null)),
    '',
    'Accepted:',
    '',
    ...table(
      ['rule', 'subject', 'until', 'by'],
      all.flatMap(({ rule, subject, accepted }) =>
        accepted === null ? [] : [[code(rule), cell(subject), accepted.until, cell(accepted.by)]],
      ),
    ),
  ];
}

function startAndChecks(services: readonly Service[]): string[] {
  return [
    '## Start',
    '',
    'Each wave when the one before it is well; stop in the opposite order, by SIGTERM.',
    '',
    ...wavesOf(services).map((wave, i) => `${i + 1}. ${wave.map((id) => code(id)).join(', ')}`),
    '',
    '## Ask whether it is well',
    '',
    ...table(
      ['service', 'machine', 'check'],
      services
        .filter(({ required }) => required !== false)
        .map(({ id, machine = '', healthCheck, ports = [] }) => [code(id), machine, code(checkOf(healthCheck, ports))]),
    ),
  ];
}

/** To begin with: what the files say of each service, and room for what only people know. */
export function runbookLines({ services }: Inventory): string[] {
  const neededBy = (id: string) =>
    services.filter(({ dependsOn = [] }) => dependsOn.includes(id)).map((each) => each.id);
  const listed = (ids: readonly string[]) => (ids.length === 0 ? 'nothing' : ids.map(code).join(', '));
  return [
    '# Runbook',
    '',
    'Made of what the files of this repository say; correct it and complete it.',
    '',
    ...startAndChecks(services),
    '',
    '## When a service is down',
    ...services.flatMap(({ id, machine, command = [], image, dependsOn = [], ports = [], healthCheck, source }) => [
      '',
      `### ${code(id)}`,
      '',
      `- Where: ${machine === undefined ? 'no machine is named' : cell(machine)}, described in ${code(source)}`,
      `- Started by: ${command.length > 0 ? code(command.join(' ')) : image === undefined ? 'not said' : code(image)}`,
      `- Well when: ${code(checkOf(healthCheck, ports))}`,
      `- Needs: ${listed(dependsOn)}; needed by: ${listed(neededBy(id))}`,
      '- [ ] Look first at:',
      '- [ ] Who is to be told:',
    ]),
  ];
}

function operations({ services, runbooks, stops }: Inventory, open: readonly ReportedFinding[]): string[] {
  const tried = stops.filter(({ refused }) => refused === null);
  return [
    '# 6. Operations manual',
    '',
    ...startAndChecks(services),
    '',
    '## Stops that were tried',
    '',
    ...(tried.length === 0
      ? ['None: `soulfra readiness PATH --local --try-stop SERVICE --keep` tries one.']
      : table(
          ['service', 'after SIGTERM', 'left behind', 'on'],
          tried.map(({ service, ended, said, seconds, left, triedOn }) => [
            code(service),
            ended ? `${cell(said)} after ${seconds} s` : `still ran after ${seconds} s`,
            left.length === 0 ? 'nothing' : cell(left.join(', ')),
            triedOn ?? 'now',
          ]),
        )),
    '',
    '## Runbooks',
    '',
    ...(runbooks.length === 0 ? ['None was found.'] : runbooks.map((name) => `- ${code(name)}`)),
    '',
    '## Open',
    '',
    ...findingRows(open.filter(({ area }) => area === 'operations' || area === 'data' || area === 'observability')),
  ];
}

function checkOf(check: Service['healthCheck'], ports: NonNullable<Service['ports']>): string {
  if (check?.kind === 'http') return `GET :${check.port}${check.path}`;
  if (check?.kind === 'tcp') return `tcp :${check.port}`;
  if (check?.kind === 'command') return check.command.join(' ');
  const port = (ports.find(({ name }) => name === 'health') ?? ports[0])?.port;
  return port === undefined ? 'none' : `tcp :${port}`;
}

/** Services with all that they depend on in the waves before; what waits for each other in a circle comes last. */
function wavesOf(services: readonly Service[]): string[][] {
  const waves: string[][] = [];
  const started = new Set<string>();
  let left = [...services];
  while (left.length > 0) {
    const wave = left.filter(({ dependsOn = [] }) => dependsOn.every((id) => started.has(id)));
    const next = wave.length === 0 ? left : wave;
    waves.push(next.map(({ id }) => id));
    for (const { id } of next) started.add(id);
    left = left.filter(({ id }) => !started.has(id));
  }
  return waves;
}

function performance({ services, machines, live }: Inventory, open: readonly ReportedFinding[]): string[] {
  return [
    '# 7. Performance guide',
    '',
    ...table(
      ['machine', 'GPU memory', 'asked for', 'GPU-hours a day there are', 'cores', 'memory', 'disk free'],
      machines.map(({ id, vramGiB }) => {
        const asked = services
          .filter(({ machine }) => machine === id)
          .reduce((sum, { gpu }) => sum + (gpu?.vramGiB ?? 0), 0);
        const seen = live.find(({ machine }) => machine === id);
        const shown = (amount: number | null | undefined, unit: string) =>
          (amount ?? null) === null ? 'unknown' : `${amount}${unit}`;
        return [
          id,
          vramGiB.length === 0 ? 'none' : `${vramGiB.join(' + ')} GiB`,
          `${Math.round(asked * 10) / 10} GiB`,
          String(vramGiB.length * 24),
          shown(seen?.cores, ''),
          shown(seen?.memoryGiB, ' GiB'),
          shown(seen?.freeDiskGiB, ' GiB'),
        ];
      }),
    ),
    '',
    '## Open',
    '',
    ...findingRows(open.filter(({ area }) => area === 'resources' || area === 'distribution')),
  ];
}

/** docs/readiness-rules.md, made by `npm run gen`. */
export function readinessRulesText(): string {
  const rules = Object.entries<ReadinessRule>(readinessRules);
  const lines = [
    '# Rules of readiness',
    '',
    'Generated by `npm run gen` from `domain/readiness-rules.ts`; how they are used stands in [readiness.md](readiness.md).',
  ];
  for (const area of readinessAreas) {
    lines.push(
      '',
      `## ${area.replaceAll('_', ' ')}`,
      '',
      '| rule | severity | says | mend | package |',
      '|---|---|---|---|---|',
    );
    for (const [id, rule] of rules)
      if (rule.area === area)
        lines.push(`| \`${id}\` | ${rule.severity} | ${rule.title} | ${rule.mend} | ${rule.workPackage} |`);
  }
  return `${lines.join('\n')}\n`;
}
