import type { DeploySettings } from './deploy-settings.ts';
import { DomainError, type FieldError } from './errors.ts';
import type { Fleet, FleetMachine } from './fleet.ts';

/** What a folder is made of: the machines with their parts and addresses, nothing left open. */
export interface DeploySite {
  fleet: Fleet;
  coordination: FleetMachine;
  standby: FleetMachine | undefined;
  /** Of every machine. */
  addresses: Readonly<Record<string, string>>;
  host: string;
  ports: DeploySettings['ports'];
  /** One machine alone listens to itself only. */
  alone: boolean;
}

/** @throws CONFIG_INVALID with every field of `deploy` that the kit needs and the file does not have */
export function deploySite(fleet: Fleet): DeploySite {
  const { deploy, machines } = fleet;
  const alone = machines.length === 1;
  const fields: FieldError[] = machines
    .filter(({ id }) => !alone && deploy.addresses[id] === undefined)
    .map(({ id }, i) => ({
      path: `deploy.addresses.${id}`,
      rule: 'is missing: the machines must reach each other',
      mend: `Add \`deploy: { addresses: { ${id}: 10.8.0.${i + 1} } }\` with its address in a network of your own.`,
    }));
  const taken = new Map<string, string>();
  for (const [id, at] of Object.entries(deploy.addresses)) {
    const other = taken.get(at);
    if (other !== undefined)
      fields.push({
        path: `deploy.addresses.${id}`,
        rule: `must differ from that of ${other}`,
        mend: 'Give each machine an address of its own.',
      });
    taken.set(at, id);
  }
  const ports = Object.entries(deploy.ports);
  ports.forEach(([name, number], i) => {
    const other = ports.slice(0, i).find(([, before]) => before === number);
    if (other !== undefined)
      fields.push({
        path: `deploy.ports.${name}`,
        rule: `must differ from deploy.ports.${other[0]} (both are ${number})`,
        mend: 'Choose another port.',
      });
  });
  if (fields.length > 0) {
    const told = fields.map(({ path, rule, mend }) => `${path} ${rule}. ${mend}`);
    throw new DomainError('CONFIG_INVALID', `fleet.yaml is not enough for a deployment:\n${told.join('\n')}`, {
      fields,
    });
  }
  const named = (id: string | undefined) => machines.find((machine) => machine.id === id);
  const coordination =
    named(deploy.coordination) ??
    machines.reduce((most, machine) => (pollers(machine) > pollers(most) ? machine : most));
  const addresses = alone
    ? { [coordination.id]: deploy.addresses[coordination.id] ?? '127.0.0.1' }
    : { ...deploy.addresses };
  return {
    fleet,
    coordination,
    standby: named(deploy.standby),
    addresses,
    host: deploy.host ?? addresses[coordination.id]!,
    ports: deploy.ports,
    alone,
  };
}

function pollers(machine: FleetMachine): number {
  return machine.roles.coordination?.pollers ?? 0;
}
