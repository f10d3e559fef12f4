import { expect, test } from 'vitest';
import {
  composeText,
  definitionOf,
  ownerOfProject,
  ownerOfUnit,
  projectNameOf,
  type RunnableService,
  unitNameOf,
  unitText,
} from '../../domain/service-units.ts';

const service: RunnableService = {
  id: 'memory-api@pc2',
  machineId: 'pc2',
  folder: '/srv/100%',
  command: ['/usr/bin/python3', '-m', 'a "b" $HOME %h\n'],
  ports: [
    { name: 'main', port: 8080, containerPort: 80, address: '127.0.0.1' },
    { name: 'udp', port: 53, protocol: 'udp' },
  ],
  gpu: false,
  environment: { KEY: 'pa$$word' },
  limits: { memoryMiB: 512, cpus: 1.5 },
  user: 'soul',
};

test('a unit says whose it is, and two services never share one', () => {
  const unit = unitText(service, 'system', '/home/soul/services');
  expect(unitNameOf(service.id)).toBe('soulfra-memory-api.pc2.service');
  expect(unit).toContain(String.raw`ExecStart=:"/usr/bin/python3" "-m" "a \"b\" $HOME %%h\x0a"`);
  expect(unit).toContain('WorkingDirectory=/srv/100%%\n');
  expect(unit.split('\n')).toEqual(
    expect.arrayContaining(['MemoryMax=512M', 'CPUQuota=150%', 'User=soul', 'PrivateTmp=yes']),
  );
  expect(unit).not.toContain('pa$$word');
  expect(ownerOfUnit(unit)).toEqual({
    serviceId: 'memory-api@pc2',
    machineId: 'pc2',
    dataFolder: '/home/soul/services',
  });
  expect(definitionOf(unit)).toBe(
    definitionOf(unitText({ ...service, machineId: 'mainpc' }, 'system', '/home/soul/services')),
  );
  // A user's own systemd refuses a unit that asks for what only the system's may do.
  expect(unitText(service, 'user', '/data')).not.toMatch(/User=|Protect|Private/);
});

test('a word cannot become a line of the unit', () => {
  const lines = unitText(
    { ...service, command: ['/bin/x', '\nUser=root\n[X-Soulfra]\nMachine=other'] },
    'user',
    '/data',
  ).split('\n');
  expect(lines.filter((line) => line === 'User=root' || line === 'Machine=other')).toEqual([]);
});

test('a compose project holds the same, with dollars that compose leaves alone', () => {
  const text = composeText({ ...service, image: 'store:1' });
  const project = JSON.parse(text) as { services: { main: Record<string, unknown> } };
  expect(ownerOfProject(text)).toEqual({ serviceId: 'memory-api@pc2', machineId: 'pc2' });
  expect(projectNameOf(service.id)).toBe('soulfra-memory-api_pc2');
  expect(project.services.main).toMatchObject({
    image: 'store:1',
    command: ['/usr/bin/python3', '-m', 'a "b" $$HOME %h\n'],
    environment: { KEY: 'pa$$$$word' },
    restart: 'on-failure',
    ports: ['127.0.0.1:8080:80/tcp', { target: 53, published: 53, protocol: 'udp' }],
  });
});
