import { type FoundService, place } from './reader.ts';

/** A service with its machine and name settled, and everywhere it is described. */
export interface Settled extends FoundService {
  slug: string;
  on: string | undefined;
  alsoIn: string[];
}

/** Whether two descriptions of one name are of one service. */
export function sameThing(a: Settled, b: Settled): boolean {
  if (a.on !== undefined && b.on !== undefined && a.on !== b.on) return false;
  // Two entries of one file are two, whatever they have in common.
  if (a.file === b.file) return false;
  if (a.script !== undefined && a.script === b.script) return true;
  const [one, other] = [JSON.stringify(a.command), JSON.stringify(b.command)];
  if (one !== undefined && one === other && a.kind === b.kind) return true;
  return a.kind !== b.kind && a.ports.some(({ port }) => b.ports.some((also) => also.port === port));
}

/** The first description, with what only the second says; what the two say otherwise is told. */
export function completed(first: Settled, second: Settled, notes: string[]): Settled {
  const [here, there] = [place(first.file, first.line), place(second.file, second.line)];
  const numbers = (ports: Settled['ports']) =>
    ports
      .map(({ port }) => port)
      .toSorted((a, b) => a - b)
      .join(', ');
  if (first.ports.length > 0 && second.ports.length > 0 && numbers(first.ports) !== numbers(second.ports)) {
    notes.push(
      `${first.name} has ports ${numbers(first.ports)} at ${here} and ${numbers(second.ports)} at ${there}; the first is taken`,
    );
  }
  return {
    ...first,
    on: first.on ?? second.on,
    command: first.command ?? second.command,
    image: first.image ?? second.image,
    script: first.script ?? second.script,
    ports: first.ports.length > 0 ? first.ports : second.ports,
    health: first.health ?? second.health,
    dependsOn: [...new Set([...first.dependsOn, ...second.dependsOn])],
    gpu: first.gpu ?? second.gpu,
    alsoIn: [...first.alsoIn, there],
  };
}
