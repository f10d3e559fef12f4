import type { Command } from 'commander';
import { bold, dim, line, plain, printJson } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Reflection {
  id: string;
  agentId: string;
  agentName: string;
  text: string;
  modelId: string;
  source: string;
  promptVersion: string;
  depth: number;
  degraded: boolean;
  machineId: string | null;
  tokens: number;
  seconds: number;
  memories: number;
  runId: string | null;
  forgottenAt: string | null;
  createdAt: string;
}
interface Scored {
  score: number;
  recency: number;
  importance: number;
  relevance: number;
}
interface Explained extends Reflection {
  evidence: Array<{
    memoryId: string;
    text: string;
    depth: number;
    importance: number;
    occurredAt: string;
    alias: string | null;
    scored: Scored | null;
  }>;
  call: {
    question: string | null;
    seed: number | null;
    promptTokens: number | null;
    modelCalls: number;
    shown: unknown[];
  } | null;
  prompt: { messages: Array<{ role: string; content: string }>; exact: boolean } | null;
  note: string;
}

export function reflectionCommands(program: Command): void {
  const reflections = program.command('reflections').description('what agents made of their memories');

  limitOption(
    reflections.command('list').option('--agent <id>', 'only of this agent').description('reflections, the last first'),
  ).action(async ({ limit, agent }: { limit: number; agent?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Reflection>('/reflections', { agentId: agent }, limit);
    if (json) return printJson(page);
    for (const reflection of page.items) {
      line(textOf(reflection));
      line(
        dim(
          `  ${plain(reflection.agentName)} (${reflection.agentId}) ← ${reflection.memories} memories · depth ${reflection.depth} · ${madeBy(reflection)} · prompt ${reflection.promptVersion} · ${reflection.id}`,
        ),
      );
    }
  });

  reflections
    .command('explain')
    .argument('<reflection>', 'id of the reflection')
    .description('what a reflection rests on and why that came to mind, what made it, and the exact prompt')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const explained = await client.get<Explained>(`/reflections/${encodeURIComponent(id)}/explain`);
      if (json) return printJson(explained);
      tell(explained);
    });
}

function tell(reflection: Explained): void {
  const { call, prompt, note } = reflection;
  line(bold(textOf(reflection)));
  line(
    `by ${plain(reflection.agentName)} (${reflection.agentId}), ${minute(reflection.createdAt)}, depth ${reflection.depth}`,
  );
  const seed = call === null || call.seed === null ? '' : ` · seed ${call.seed}`;
  const read = call === null || call.promptTokens === null ? '' : ` from ${call.promptTokens} of prompts`;
  const took = `${reflection.tokens} tokens${read} in ${reflection.seconds.toFixed(2)} s on ${reflection.machineId} · ${reflection.runId}`;
  line(
    reflection.source === 'import'
      ? madeBy(reflection)
      : `${madeBy(reflection)} · prompt ${reflection.promptVersion}${seed} · ${took}`,
  );
  if (call !== null && call.question !== null) line(`asked: ${plain(call.question)}`);
  line();
  line('It rests on:');
  for (const memory of reflection.evidence) {
    line(`  ${minute(memory.occurredAt)}  ${plain(memory.text)}`);
    line(
      dim(
        `                    ${memory.depth === 0 ? 'lived' : `reflection, depth ${memory.depth}`} · importance ${memory.importance}${scoreText(memory.scored)} · ${memory.alias ?? 'no alias'} · ${memory.memoryId}`,
      ),
    );
  }
  if (note !== '') {
    line();
    line(dim(note));
  }
  for (const { role, content } of prompt?.messages ?? []) {
    line();
    line(`${prompt!.exact ? 'Prompt' : 'Prompt, but for what was forgotten'}, ${role}:`);
    for (const row of content.split('\n')) line(`  ${plain(row)}`);
  }
}

function scoreText(scored: Scored | null): string {
  if (scored === null) return '';
  const { score, recency, importance, relevance } = scored;
  const [s, r, i, v] = [score, recency, importance, relevance].map((part) => part.toFixed(2));
  return ` · score ${s} = recency ${r} + importance ${i} + relevance ${v}`;
}

function minute(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}

function textOf({ text, forgottenAt }: Reflection): string {
  return forgottenAt === null ? plain(text) : '[forgotten]';
}

function madeBy({ source, modelId, degraded }: Reflection): string {
  if (source === 'import') return `imported${modelId === '' ? '' : `, made by ${plain(modelId)}`}`;
  const mark = degraded ? ', degraded' : '';
  return source === 'extractive'
    ? `extractive in place of ${modelId}${mark}: quotes its memories, no model used`
    : `${modelId}${mark}`;
}
