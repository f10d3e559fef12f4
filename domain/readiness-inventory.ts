import type { Service, WorkPackage } from './services.ts';

/** All that readiness is judged by: what the repository's files say, the fleet, and what machines report. Plain JSON; no secret is ever in it. */
export interface Inventory {
  machines: InventoryMachine[];
  services: Service[];
  /** Ports that Soulfra itself and its model servers listen at. */
  fleetPorts: FleetPort[];
  workPackages: InventoryPackage[];
  containers: ContainerFacts[];
  images: ImageFacts[];
  units: UnitFacts[];
  conflicts: Conflict[];
  oldCopies: OldCopy[];
  /** Set in a file of variables, and where. */
  variablesSet: Variable[];
  /** Read by the code of a service that has no value for them, with no default. */
  variablesMissing: VariableMissing[];
  marks: Mark[];
  modules: CodeModule[];
  /** Languages whose code is not among the modules, and which no linter of the repository's own reads. */
  languagesUnread: Array<{ language: string; files: number; first: string }>;
  /** Names that occur anywhere outside the file that sets them: a variable that is not among them is used by nothing. */
  namesUsed: string[];
  /** Files of the repository that tell what to do when something fails, make copies of data, or collect metrics. */
  runbooks: string[];
  backups: NamedIn[];
  scrapes: NamedIn[];
  live: LiveMachine[];
  /** Services that were started beside everything else, and stopped by SIGTERM. */
  stops: StopTrial[];
  tools: ToolReport[];
  skipped: Array<{ path: string; reason: string }>;
  /** Of what was skipped, that which a limit kept from being read, and keys that are no text. Absent: of a version before. */
  unread?: Array<{ path: string; reason: string }>;
  /** Folders that nobody looked into, since their names begin with a dot. Absent: of a version before. */
  hidden?: string[];
}

export interface InventoryMachine {
  id: string;
  /** Of each card, less what is never planned for. */
  vramGiB: number[];
}

export interface FleetPort {
  machine: string;
  port: number;
  address: string | null;
  what: string;
}

export interface InventoryPackage extends WorkPackage {
  /** Whether the script says how it is undone. */
  undo: boolean;
}

/** A container as its compose file describes it. `service` is its place, by which it is found among the services. */
export interface ContainerFacts {
  name: string;
  place: string;
  image: string | null;
  dockerfile: string | null;
  user: string | null;
  restart: string | null;
  healthCheck: 'own' | 'off' | 'none';
  privileged: boolean;
  /** Mounts the socket of the container runtime. */
  controlsHost: boolean;
  memoryLimit: boolean;
  stopSignal: string | null;
  stopSeconds: number | null;
  volumes: Array<{ name: string; target: string; bind: boolean }>;
  required: boolean;
}

/** The last stage of a Dockerfile. */
export interface ImageFacts {
  file: string;
  line: number;
  base: string;
  user: string | null;
  healthCheck: boolean;
  /** Whether a shell stands between the runtime and the process, and keeps its signals. */
  shellForm: boolean;
  runs: boolean;
  stopSignal: string | null;
}

export interface UnitFacts {
  name: string;
  place: string;
  restart: string | null;
  user: string | null;
  killSignal: string | null;
  stopSeconds: number | null;
  killMode: string | null;
}

/** One service that two files describe otherwise. */
export interface Conflict {
  name: string;
  first: string;
  second: string;
  said: string;
}

export interface OldCopy {
  file: string;
  /** Services that are described there. */
  services: string[];
  /** Of them, those that no other file describes. */
  only: string[];
}

export interface Variable {
  name: string;
  file: string;
  line: number;
}

export interface VariableMissing {
  name: string;
  service: string;
  place: string;
}

/** A line that a pattern knows. What stood there is not kept. */
export interface Mark {
  kind: string;
  /** What it is about, such as the key's name; never its value. */
  about: string;
  file: string;
  line: number;
}

export interface CodeModule {
  file: string;
  /** Files of the tree that it imports, each with its line, and whether as it is loaded. */
  imports: Array<{ file: string; line: number; whenLoaded: boolean }>;
  /** Names that are imported and not used, each with its line. */
  unused: Array<{ name: string; line: number }>;
  /** Of its lines without blanks and comments; empty where there are too few to speak of a copy. */
  likeness: string;
  /** Something starts it, or names it. */
  reached: boolean;
}

/** Something that a file speaks of. */
export interface NamedIn {
  file: string;
  names: string[];
}

export interface LiveMachine {
  machine: string;
  listening: Array<{ port: number; address: string; protocol: 'tcp' | 'udp'; process: string | null }>;
  cores: number | null;
  memoryGiB: number | null;
  freeDiskGiB: number | null;
}

/** How a service took SIGTERM. */
export interface StopTrial {
  service: string;
  /** Why it was not tried; null: it was. */
  refused: string | null;
  ended: boolean;
  /** How it ended: its code, or the signal that ended it. */
  said: string;
  /** By itself without an error, or by the signal. */
  clean: boolean;
  seconds: number;
  /** Processes and ports of it that outlived it. */
  left: string[];
  /** The day, where it was not tried just now. */
  triedOn?: string;
}

/** A kept tool: what it found, or why it did not look. One that has no file of its kind reports nothing. */
export interface ToolReport {
  tool: string;
  state: 'ran' | 'absent' | 'failed';
  detail: string;
  /** How it is installed where it is absent. */
  install: string;
  findings: Array<{ code: string; file: string; line: number; message: string; severity?: 'medium' | 'low' }>;
}
