import { type Lab, type LabProcess, until } from '../../test/support/lab.ts';

/** The API in a process of its own that may be killed and started again. @param folder of sabotaged sources */
export function startLabApi(lab: Lab, port: number, folder: string | undefined): LabProcess {
  const { addresses } = lab;
  const env = {
    DATABASE_URL: addresses.databaseUrl,
    REDIS_URL: addresses.redisUrl,
    TEMPORAL_ADDRESS: addresses.temporalAddress,
    TEMPORAL_NAMESPACE: addresses.namespace,
    SOULFRA_LOG_LEVEL: 'warn',
    SOULFRA_API_PORT: String(port),
  };
  return lab.startProcess('api', ['api/main.ts'], env, folder);
}

export async function untilItAnswers(url: string): Promise<void> {
  await until(
    'the API answers',
    async () => (await fetch(`${url}/v1/health/live`).catch(() => undefined))?.ok === true,
  );
}
