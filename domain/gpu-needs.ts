/** Libraries that are of little use without a GPU, by the name in requirement files; `_`, `.` and `-` are one. */
const libraries: ReadonlySet<string> = new Set([
  'torch',
  'vllm',
  'tensorflow',
  'tensorflow-gpu',
  'onnxruntime-gpu',
  'faiss-gpu',
  'bitsandbytes',
  'flash-attn',
  'xformers',
  'triton',
  'tensorrt',
  'tensorrt-llm',
  'auto-gptq',
  'autoawq',
  'exllamav2',
  'deepspeed',
  'sglang',
  'text-generation',
  'cudf',
  'cuml',
]);
const families = /^(cupy|nvidia)-|^faiss-gpu-|^cu(df|ml)-/;

/** As Python's index compares names. */
function requirementName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-');
}

/**
 * Whether one line of a requirement file asks for a GPU.
 * @param requirement such as `torch==2.9.0+cpu` or `jax[cuda12]>=0.4`
 */
export function needsGpu(requirement: string): boolean {
  const parts = /^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?(.*)$/.exec(requirement.trim());
  if (!parts) return false;
  const [, name = '', extras = '', rest = ''] = parts;
  // `torch==2.9.0+cpu` and wheels of the CPU index say that there is none.
  if (/\+cpu\b|\/cpu(\/|$)/.test(rest)) return false;
  const plain = requirementName(name);
  return libraries.has(plain) || families.test(plain) || (plain === 'jax' && /\bcuda/.test(extras));
}

/** Whether Python code imports one, such as `from vllm import LLM`. */
export function importsGpuLibrary(code: string): string | undefined {
  for (const [, name = ''] of code.matchAll(/^[ \t]*(?:import|from)[ \t]+([A-Za-z_]\w*)/gm)) {
    if (importNames.has(name)) return name;
  }
  return undefined;
}

const importNames: ReadonlySet<string> = new Set([
  'torch',
  'vllm',
  'tensorflow',
  'bitsandbytes',
  'flash_attn',
  'xformers',
  'triton',
  'tensorrt',
  'tensorrt_llm',
  'auto_gptq',
  'awq',
  'exllamav2',
  'deepspeed',
  'sglang',
  'cupy',
  'cudf',
  'cuml',
]);
