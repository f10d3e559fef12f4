import { mkdirSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { ToolReport } from '../../domain/readiness-inventory.ts';
import { findProgram } from '../supervisors/find-program.ts';
import { gitleaks, gitleaksConfig } from './gitleaks.ts';
import { hadolint, hadolintConfig } from './hadolint.ts';
import type { RepositoryTool } from './repository-tool.ts';
import { ruff } from './ruff.ts';
import { runTool } from './tool-runs.ts';
import { vulture } from './vulture.ts';

const repositoryTools: readonly RepositoryTool[] = [gitleaks, hadolint, ruff, vulture];

/** All of them together stay within the time that an assessment has for reading. */
const defaultTimeoutMs = 90_000;
const mostFindings = 2_000;
/** More than a command line holds. */
const mostPathBytes = 1_000_000;

export interface ToolsOptions {
  /** Where programs are looked for, apart by colons; default: as this process has it. */
  path?: string;
  timeoutMs?: number;
}

/**
 * Runs the kept tools that are installed, one after the other, over copies of a repository's files. None of them runs what it looks at,
 * none is given configuration of the repository's, and none has a variable of ours but where programs lie.
 */
export async function runRepositoryTools(
  { folder, files, scratch }: { folder: string; files: readonly string[]; scratch: string },
  signal: AbortSignal,
  { path = process.env['PATH'] ?? '', timeoutMs = defaultTimeoutMs }: ToolsOptions = {},
): Promise<ToolReport[]> {
  writeFileSync(join(scratch, 'gitleaks.toml'), gitleaksConfig);
  writeFileSync(join(scratch, 'hadolint.yaml'), hadolintConfig);
  mkdirSync(join(scratch, 'empty'));
  const reports: ToolReport[] = [];
  for (const tool of repositoryTools) {
    const taken = files.filter((name) => tool.takes.test(name));
    if (taken.length === 0) continue;
    signal.throwIfAborted();
    reports.push(await reportOf(tool, { folder, taken, scratch, path, timeoutMs }, signal));
  }
  return reports;
}

interface Looking {
  folder: string;
  taken: readonly string[];
  scratch: string;
  path: string;
  timeoutMs: number;
}

async function reportOf(
  tool: RepositoryTool,
  { folder, taken, scratch, path, timeoutMs }: Looking,
  signal: AbortSignal,
): Promise<ToolReport> {
  const { name, install } = tool;
  const other = (state: 'absent' | 'failed', detail: string): ToolReport => ({
    tool: name,
    state,
    detail,
    install,
    findings: [],
  });
  const program = findProgram(name, scratch, path);
  if (program === undefined) return other('absent', `${name} is not installed here`);
  const paths = taken.map((file) => join(folder, file));
  if (paths.reduce((sum, each) => sum + Buffer.byteLength(each) + 1, 0) > mostPathBytes)
    return other('failed', `${taken.length} files are more than its command line holds`);
  const ended = await runTool(program, tool.args({ folder, paths, scratch }), {
    cwd: join(scratch, 'empty'),
    path,
    timeoutMs,
    signal,
  });
  if ('failed' in ended) return other('failed', ended.failed);
  if (!tool.codes.includes(ended.code) || tool.broke?.test(ended.stderr) === true)
    return other('failed', `it ended with code ${ended.code}: ${lastLine(ended.stderr, folder)}`);
  try {
    const found = tool.parse(ended.stdout).map((each) => ({ ...each, file: nameOf(each.file, folder) }));
    const findings = found.slice(0, mostFindings);
    const more = found.length - findings.length;
    return { tool: name, state: 'ran', detail: more === 0 ? '' : `${more} more are left out`, install, findings };
  } catch (err) {
    return other('failed', `its answer is not understood: ${(err as Error).message.slice(0, 100)}`);
  }
}

/** As the repository calls it. */
function nameOf(path: string, folder: string): string {
  const name = relative(folder, isAbsolute(path) ? path : resolve(folder, path));
  return name.split(sep).join('/');
}

function lastLine(text: string, folder: string): string {
  return (text.trim().split('\n').at(-1) ?? '').replaceAll(folder, '').slice(0, 200);
}
