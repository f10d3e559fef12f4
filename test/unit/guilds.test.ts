import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GuildRule, mayUnder, ruleOf } from '../../domain/guild-rules.ts';
import { type GuildAct, guildActs, heirOf, mayAct, rolesThatMay, standsAbove } from '../../domain/guilds.ts';
import { deadBecause, inviteTurn, type InviteTimes, stateAfterUse } from '../../domain/invites.ts';
import { guildRoles, inviteStates } from '../../domain/states.ts';

test('rights grow with the role, and the founder has all of them', () => {
  const inOrder = [...guildRoles];
  for (const act of guildActs) {
    const may = inOrder.map((role) => mayAct(role, act));
    // Whoever stands above somebody who may, may.
    expect([act, may.indexOf(false) === -1 || may.slice(may.indexOf(false)).every((each) => !each)]).toEqual([
      act,
      true,
    ]);
    expect(mayAct('founder', act)).toBe(true);
    expect(mayAct('guest', act)).toBe(false);
  }
  expect(rolesThatMay('oversee')).toEqual(['founder', 'elder']);
});

test('of two roles at most one stands above the other, and none above itself', () => {
  for (const a of guildRoles)
    for (const b of guildRoles) expect([a, b, standsAbove(a, b) && standsAbove(b, a)]).toEqual([a, b, false]);
});

test('the heir is of the highest role, and of those who has been there longest, in whatever order they come', () => {
  const member = fc.record({ id: fc.uuid(), role: fc.constantFrom(...guildRoles), joinedAt: fc.nat(1_000) });
  fc.assert(
    fc.property(fc.uniqueArray(member, { selector: ({ id }) => id, minLength: 1, maxLength: 8 }), (members) => {
      const heir = heirOf(members)!;
      expect(heirOf(members.toReversed())).toEqual(heir);
      for (const other of members) {
        expect(standsAbove(other.role, heir.role)).toBe(false);
        if (other.role === heir.role) expect(other.joinedAt).toBeGreaterThanOrEqual(heir.joinedAt);
      }
    }),
  );
  expect(heirOf([])).toBeUndefined();
});

const life = { target: 'user', createdAt: 0, expiresAt: 1_000, reminders: 0 } satisfies InviteTimes;

test('two reminders and the end, each when it is due; those that were missed are not made up for', () => {
  expect(inviteTurn(life, 0)).toEqual({ kind: 'wait', until: 500 });
  expect(inviteTurn(life, 500)).toEqual({ kind: 'remind', reminder: 1 });
  expect(inviteTurn({ ...life, reminders: 1 }, 500)).toEqual({ kind: 'wait', until: 900 });
  expect(inviteTurn(life, 950)).toEqual({ kind: 'remind', reminder: 2 });
  expect(inviteTurn({ ...life, reminders: 2 }, 950)).toEqual({ kind: 'wait', until: 1_000 });
  expect(inviteTurn({ ...life, target: 'link' }, 950)).toEqual({ kind: 'wait', until: 1_000 });
  expect(inviteTurn(life, 1_000)).toEqual({ kind: 'expire' });
  expect(inviteTurn({ ...life, expiresAt: null }, 1e15)).toEqual({ kind: 'wait', until: null });
});

test('carried out turn by turn, time always goes on: it ends after two reminders at most, never late', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e10 }), fc.array(fc.nat(1e9), { maxLength: 6 }), (length, delays) => {
      let times: InviteTimes = { ...life, expiresAt: length };
      let now = 0;
      for (let turns = 0; ; turns += 1) {
        expect(turns).toBeLessThan(12);
        const turn = inviteTurn(times, now);
        if (turn.kind === 'expire') {
          expect(now).toBeGreaterThanOrEqual(length);
          return;
        }
        if (turn.kind === 'remind') times = { ...times, reminders: turn.reminder };
        else {
          expect(turn.until!).toBeGreaterThan(now);
          now = turn.until! + (delays[turns] ?? 0);
        }
      }
    }),
  );
});

test('what is open is dead from its end on, by whatever clock it is asked', () => {
  for (const state of inviteStates)
    expect([state, deadBecause({ state, expiresAt: null }, 5) === undefined]).toEqual([state, state === 'pending']);
  expect(deadBecause({ state: 'pending', expiresAt: 5 }, 4)).toBeUndefined();
  expect(deadBecause({ state: 'pending', expiresAt: 5 }, 5)).toBe('is expired');
});

test('a use ends what is to one, and a link with its last', () => {
  expect(stateAfterUse({ target: 'address', uses: 1, usesLimit: 1 })).toBe('accepted');
  expect(stateAfterUse({ target: 'link', uses: 4, usesLimit: 5 })).toBe('pending');
  expect(stateAfterUse({ target: 'link', uses: 5, usesLimit: 5 })).toBe('used_up');
  expect(stateAfterUse({ target: 'link', uses: 500, usesLimit: null })).toBe('pending');
});

test('a rule stands before the table of rights, for its own act alone; whoever stands higher may what a lower one may', () => {
  const rules: GuildRule[] = [
    { name: 'seats', value: 3 },
    { name: 'invite', value: 'founder' },
    { name: 'expel', value: 'founder' },
    { name: 'close', value: 'ballot' },
  ];
  const may = (act: GuildAct) => guildRoles.filter((role) => mayUnder(rules, role, act));
  expect({ resize: may('resize'), close: may('close') }).toEqual({ resize: [], close: [] });
  expect({ invite: may('invite'), expel: may('expel') }).toEqual({ invite: ['founder'], expel: ['founder'] });
  expect(may('rename')).toEqual(['founder', 'elder']);
  for (const rule of rules) expect(ruleOf(rule.name === 'seats' ? 'resize' : rule.name, rules)).toBe(rule);
  for (const value of ['founder', 'elder', 'member'] as const) {
    const invites = guildRoles.filter((role) => mayUnder([{ name: 'invite', value }], role, 'invite'));
    expect(invites).toEqual(guildRoles.slice(0, guildRoles.indexOf(value) + 1));
  }
  for (const role of guildRoles)
    for (const act of guildActs) expect([role, act, mayUnder([], role, act)]).toEqual([role, act, mayAct(role, act)]);
});
