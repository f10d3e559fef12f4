import { existsSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { workflowSources } from '../config/app-version.ts';
import { encodedFailuresPath } from '../config/payload-codec.ts';

const workflowTracing = createRequire(import.meta.url).resolve(
  '@temporalio/interceptors-opentelemetry/lib/workflow-interceptors',
);
const root = fileURLToPath(new URL('../', import.meta.url));

/**
 * The workflow bundle, built once for each state of its sources and shared by every process: a worker that finds it
 * starts seconds sooner. An image ships it prebuilt under the same name.
 * @param options.traced with the interceptors that tell spans of workflows
 * @param options.encoded with failures whose words are payloads, for workers that encode those
 * @returns the path of the bundle
 */
export async function workflowBundle({
  traced = false,
  encoded = false,
}: {
  traced?: boolean;
  encoded?: boolean;
} = {}): Promise<string> {
  const directory = join(root, 'node_modules', '.cache', 'soulfra');
  const kind = `${traced ? '-traced' : ''}${encoded ? '-encoded' : ''}`;
  const path = join(directory, `workflows-${workflowSources()}${kind}.js`);
  if (existsSync(path)) return path;
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows', 'index.ts'),
    logger: new DefaultLogger('WARN'),
    // What is not traced carries none of it.
    ...(traced && { workflowInterceptorModules: [workflowTracing] }),
    ...(encoded && { failureConverterPath: encodedFailuresPath }),
  });
  try {
    mkdirSync(directory, { recursive: true });
    const part = `${path}.${process.pid}`;
    writeFileSync(part, code);
    renameSync(part, path);
    return path;
  } catch (err) {
    if (!['EACCES', 'EROFS', 'EPERM'].includes((err as NodeJS.ErrnoException).code ?? '')) throw err;
    // A checkout that is not ours to write, or a read-only image that was built without it: for this process alone.
    const own = join(mkdtempSync(join(tmpdir(), 'soulfra-workflows-')), 'workflows.js');
    writeFileSync(own, code);
    return own;
  }
}
