import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';

/** Temporal's time-skipping server is a Java program of its own, not the server that we run. */
const version = '1.32.0';
/** A program of the host, not a package of ours. */
const maven = 'mvn';
const runs = (program: string, flag: string) => spawnSync(program, [flag], { stdio: 'ignore' }).status === 0;

export const timeSkipping = {
  test: 'timers over years by time skipping',
  needs: 'java 8 or newer, and mvn for the first time',
  command: 'apt-get install -y openjdk-17-jre-headless maven',
};
export const hasTimeSkipping = runs('java', '-version') && (existsSync(launcher()) || runs(maven, '--version'));

function folder(): string {
  return join(process.env['SOULFRA_CACHE'] ?? join(homedir(), '.cache', 'soulfra'), 'temporal-test-server', version);
}
function launcher(): string {
  return join(folder(), 'start');
}

/** Brings the server and what it needs out of Maven Central into the cache, whole or not at all. */
function fetchServer(): void {
  if (existsSync(launcher())) return;
  const parent = join(folder(), '..');
  mkdirSync(parent, { recursive: true });
  const beside = mkdtempSync(join(parent, 'new-'));
  try {
    const pom = join(beside, 'pom.xml');
    writeFileSync(
      pom,
      `<project><modelVersion>4.0.0</modelVersion><groupId>soulfra</groupId><artifactId>test-server</artifactId><version>1</version>
<dependencies><dependency><groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId><version>${version}</version></dependency></dependencies></project>`,
    );
    const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies';
    const args = ['-q', '-B', '-f', pom, goal, `-DoutputDirectory=${join(beside, 'lib')}`];
    const { status, stdout, stderr } = spawnSync(maven, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`mvn did not bring the time-skipping server: ${stdout}${stderr}`);
    const start = `#!/bin/sh\nexec java -Xmx256m -cp "$(dirname "$0")/lib/*" io.temporal.testserver.TestServer "$@"\n`;
    writeFileSync(join(beside, 'start'), start, { mode: 0o755 });
    // Another test run may have been first.
    if (!existsSync(folder())) renameSync(beside, folder());
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
}

/** The SDK waits five seconds for it, which Java may need for itself alone on a busy machine. */
const tries = 6;

export async function openTimeSkipping(): Promise<TestWorkflowEnvironment> {
  fetchServer();
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await TestWorkflowEnvironment.createTimeSkipping({
        server: { executable: { type: 'existing-path', path: launcher() } },
      });
    } catch (err) {
      if (left === 0 || !String(err).includes('did not start within')) throw err;
    }
  }
}
