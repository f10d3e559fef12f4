import type { Thing } from '../client.ts';
import { counted, gib } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { fleetText } from '../texts/fleet.ts';
import type { Moved } from './fleet-map.tsx';

const words = fleetText.simulation;

export interface Simulated {
  machineId: string;
  report: Thing<'Simulation'>;
}

/** Where the map draws the agents of a machine that would be lost. */
export function movesOf({ machineId, report }: Simulated, home: number): Moved[] {
  const homes = report.homes.map(({ from, to, agents }) => ({ from, to, agents }));
  const away = homes.filter(({ from }) => from === machineId).reduce((sum, { agents }) => sum + agents, 0);
  return home > away ? [...homes, { from: machineId, to: null, agents: home - away }] : homes;
}

/** What the loss of a machine would do; nothing has changed. */
export function SimulatedLoss({ simulated, onClose }: { simulated: Simulated; onClose: () => void }) {
  const { machineId, report } = simulated;
  const { homes, services, waits, degrades, parks, moves } = report;
  const groups = [
    ...homes.map(({ from, to, agents }) => words.home(counted(agents, 'agent'), from, to)),
    ...moves.loads.map(({ machineId: at, modelId }) => words.load(modelId, at)),
    ...degrades.map(({ agents, modelId, reason }) => words.degrade(counted(agents, 'agent'), modelId, reason)),
    ...waits.map(({ agents, modelId, reason }) => words.wait(counted(agents, 'agent'), modelId, reason)),
    ...parks.map(({ agents, modelId, reason }) => words.park(counted(agents, 'agent'), modelId, reason)),
    ...services.map(({ id, to, because }) => words.service(id, to, because)),
  ];
  return (
    <div className="panel simulated" role="status">
      <div className="section-head">
        <h3>{words.title(machineId)}</h3>
        <Button onClick={onClose}>{words.back}</Button>
      </div>
      <p className="soft">{words.nothing}</p>
      <ul className="rows">
        {groups.length === 0 ? <li>{words.same}</li> : groups.map((group) => <li key={group}>{group}</li>)}
      </ul>
      <p className="faint">
        {report.after.machines
          .map((machine) => `${machine.machineId}: ${gib(machine.vramUsedGiB)} / ${gib(machine.vramUsableGiB)}`)
          .join(' · ')}
      </p>
    </div>
  );
}
