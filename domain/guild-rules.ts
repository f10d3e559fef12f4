import { z } from 'zod';
import { type GuildAct, mayAct, mostSeats, standsAbove } from './guilds.ts';
import type { GuildRole } from './states.ts';

/**
 * Rules that a guild gives itself by a ballot. What one governs nobody changes by hand any more: another ballot does.
 * seats: how many there are. invite, expel: from which role on. close: whether its founder may, or a ballot alone.
 */
export const guildRuleSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('seats'), value: z.int().min(1).max(mostSeats) }),
  z.strictObject({ name: z.literal('invite'), value: z.enum(['founder', 'elder', 'member']) }),
  z.strictObject({ name: z.literal('expel'), value: z.enum(['founder', 'elder']) }),
  z.strictObject({ name: z.literal('close'), value: z.enum(['founder', 'ballot']) }),
]);
export type GuildRule = z.infer<typeof guildRuleSchema>;
export const guildRuleNames = ['seats', 'invite', 'expel', 'close'] as const satisfies ReadonlyArray<GuildRule['name']>;

const governs: Partial<Record<GuildAct, GuildRule['name']>> = {
  resize: 'seats',
  invite: 'invite',
  expel: 'expel',
  close: 'close',
};

/** The rule that governs an act, where the guild has given itself one. */
export function ruleOf<Rule extends GuildRule>(act: GuildAct, rules: readonly Rule[]): Rule | undefined {
  const name = governs[act];
  return rules.find((rule) => rule.name === name);
}

/** Whether a role may do something in a guild: by its own rule where it has one, else by the table of rights. */
export function mayUnder(rules: readonly GuildRule[], role: GuildRole, act: GuildAct): boolean {
  const rule = ruleOf(act, rules);
  switch (rule?.name) {
    case undefined:
      return mayAct(role, act);
    case 'seats':
      return false;
    case 'close':
      return rule.value === 'founder' && mayAct(role, act);
    case 'invite':
    case 'expel':
      return !standsAbove(rule.value, role);
  }
}
