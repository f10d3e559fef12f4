import type { HealthCheck, PortRule, Service, ServicePort, WorkPackage } from '../../domain/services.ts';
import type { Lookup } from '../../domain/variables.ts';
import type { Located } from './located-yaml.ts';
import type { UnitInstance } from './unit-instances.ts';

/** A file as readers see it; `documents` of YAML alone. */
export interface ImportFile {
  name: string;
  text: string;
  documents?: readonly Located[];
}

/** What a reader may ask of the rest of the tree, and of the machine that it reads for. */
export interface ReadingContext {
  /** The machine whose file this is; undefined: of none by itself. */
  machine: string | undefined;
  /** A machine of the fleet by its id or host; undefined where it is none. */
  machineNamed: (text: string) => string | undefined;
  /** Variables as a service there would find them. Never those of the process that reads. */
  variables(place: {
    machine: string | undefined;
    own?: ReadonlyMap<string, string>;
    files?: readonly string[];
  }): Lookup;
  has: (name: string) => boolean;
  read: (name: string) => string | undefined;
  /** A file that readers are asked about, too. */
  fileNamed: (name: string) => ImportFile | undefined;
  /** Instances of a template of units, each with the machine of what names it. */
  unitInstances: (template: string) => Array<UnitInstance & { machine: string | undefined }>;
}

/** A health check before the number of its port is known. */
export type FoundHealth =
  | HealthCheck
  | { kind: 'http'; port: undefined; path: string }
  | { kind: 'tcp'; port: undefined };

/** One service as one file describes it, with names as they are written there. */
export interface FoundService {
  name: string;
  file: string;
  line: number;
  /** What it stands in, to tell two of one name apart. */
  group?: string | undefined;
  kind: Service['kind'];
  machine?: string | undefined;
  command?: string[] | undefined;
  image?: string | undefined;
  /** A Dockerfile of the tree that its image is built from. */
  dockerfile?: string | undefined;
  /** The file that is started, where it is one of the tree. */
  script?: string | undefined;
  workingDirectory?: string | undefined;
  ports: ServicePort[];
  health?: FoundHealth | undefined;
  dependsOn: string[];
  required: boolean;
  gpu?: { vramGiB?: number; because: string[] } | undefined;
  /** Variables that it is given by its own entry. */
  own?: ReadonlyMap<string, string>;
  /** Files of variables that it names. */
  environmentFiles?: readonly string[];
  unresolved: string[];
}

/** What one requirement file asks for. */
export interface FoundRequirements {
  file: string;
  /** Such as `torch==2.9.0 (services/llm/requirements.txt:3)`. */
  gpu: string[];
}

export interface Reading {
  services?: FoundService[];
  /** Dockerfiles, which complete the services that are built from them. */
  images?: FoundService[];
  workPackages?: Array<WorkPackage & { needsAs?: string[] }>;
  requirements?: FoundRequirements[];
  portRules?: PortRule[];
  /** Other files that belong to the same machine. */
  includes?: string[];
  /** What a person should know, each with its place. */
  notes?: string[];
}

/** Reads one kind of file. Nothing is run, and nothing outside the tree is looked at. */
export interface Reader {
  /** Whether this file is of its kind; the first reader that says so has it. */
  takes(file: ImportFile): boolean;
  read(file: ImportFile, context: ReadingContext): Reading;
}

export function place(file: string, line: number): string {
  return `${file}:${line}`;
}
