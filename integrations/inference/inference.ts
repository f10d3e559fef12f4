import type { ChatMessage } from '../../domain/prompts/chat.ts';
import type {
  QuestionsOutcome,
  ReflectableMemory,
  ReflectingAgent,
  ReflectionOutcome,
  ReflectionSource,
} from '../../domain/reflections.ts';
import type { ModelServerKind } from '../../domain/fleet.ts';

/** Something that really moved: the server answered, it reads prompts, or tokens came. A timer never reports progress. */
export interface Progress {
  phase: 'headers' | 'prompt' | 'token';
  /** Output tokens so far. */
  tokens: number;
}

export interface Watch {
  /** Aborts the call, the HTTP request included; the call then rejects with the signal's reason. */
  signal: AbortSignal;
  onProgress(progress: Progress): void;
  /** Pieces of the answer as the server streams them; thoughts are left out where the server tells them apart. */
  onText?(piece: string): void;
}

export interface ReflectRequest {
  agent: ReflectingAgent;
  /** The first are kept first where the context is short. */
  memories: readonly ReflectableMemory[];
  /** What they were looked up for; left out: they are what is new. */
  question?: string;
  /** What the model server calls the model. */
  model: string;
  /** Pinned: the prompt is fitted to it, and a server that would cut it is an error. */
  contextTokens: number;
  maxTokens: number;
  seed?: number;
  /** 2: an answer that does not follow the schema is asked for once more. Default 2. */
  mostCalls?: number;
}

/** How a machine reflects, whatever it has. An answer that never follows the schema is an outcome with `invalid`. */
export interface Inference {
  readonly source: ReflectionSource;
  /** Focal questions over new memories; not there where no model could answer them. */
  questions?(request: ReflectRequest, watch: Watch): Promise<QuestionsOutcome>;
  reflect(request: ReflectRequest, watch: Watch): Promise<ReflectionOutcome>;
}

export interface GenerateRequest {
  model: string;
  messages: readonly ChatMessage[];
  maxTokens: number;
  contextTokens: number;
  /** Context of a sequence as the model stands loaded; asked for with another, some servers load it anew. Default: contextTokens. */
  loadedTokens?: number;
  seed?: number;
  schemaName?: string;
  /** The server is asked to allow no other output; the caller parses all the same. Left out: plain text. */
  jsonSchema?: Record<string, unknown>;
}

export interface Generation {
  text: string;
  tokens: number;
  promptTokens?: number;
  /** `stop`, or `length` where maxTokens cut it. */
  finishReason: string;
}

/** A model server that writes text; throws DomainErrors of the MODEL_ family only. */
export interface TextModel {
  generate(request: GenerateRequest, watch: Watch): Promise<Generation>;
}

export interface ModelServerOptions {
  kind: ModelServerKind;
  /** OpenAI-compatible base, such as http://127.0.0.1:11434/v1. */
  baseUrl: string;
  apiKey?: string;
  /** Without progress for this long the call is aborted. */
  stallMs: number;
  /** A call may take this long in all. */
  callMs: number;
}
