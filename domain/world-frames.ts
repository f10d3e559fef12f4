/**
 * Sentences into which moments are set. Slots: {claim} and {counter} are clauses after "that"; {spot} is where it happened,
 * {at}, {place}, {note} elsewhere; {other}, {first}, {third} are people; {when}, {weather}, {thing} as they say.
 */

/** Seen with one's own eyes. */
export const seenFrames: readonly string[] = [
  'I was {spot} {when} with {other}, and we saw that {claim}.',
  'I was {spot} on an errand for {other}, and so I saw that {claim}.',
  'I would swear to it before the guild that {claim}; {other} stood next to me {spot} and can say the same.',
  'I saw {spot} that {claim}, and {other}, half a step behind me, saw me see it.',
  '{other} took my arm {spot}, and I turned in time to see that {claim}.',
  'I had {thing} in my hands {spot} when I saw that {claim}, and I have not let go of either since.',
  'I came late, having met {other} on the way, and still I saw {spot} that {claim}.',
  '{other} told me to look the other way, {spot}, and I looked, and saw that {claim}.',
  'With {weather}, I stood {spot} beside {other} and saw that {claim}.',
  'I counted myself lucky to be {spot} {when}, until I saw that {claim} and felt {other} go still beside me.',
  'There were not twenty of us {spot}, {other} among them, and we all saw that {claim}.',
  'I set it down at once, with {other} to witness: {spot}, {when}, I saw that {claim}.',
];

/** Heard from somebody else. */
export const heardFrames: readonly string[] = [
  '{other} told me {at} that {claim}.',
  'The talk {at} is that {claim}; {other} had it from {third}.',
  '{other}, out of breath {at}, said that {claim}.',
  'Over a cup of something hot {at}, {other} let fall that {claim}.',
  'I asked {other} straight out {at}, and was told that {claim}.',
  'According to {other}, who was nowhere near, {claim}.',
  'I heard {other} telling {third} {at} that {claim}, and both stopped when they saw me.',
  '{other} drew it for me on a wet table {at}: {claim}.',
  'I had it in a note from {other}, handed over {at} and burnt after reading, that {claim}.',
  '{third} had told it to {other}, and {other} told it to me {at}, that {claim}.',
];

/** What one saw against what another says. */
export const clashFrames: readonly string[] = [
  'I fell out with {other} {at}: {first} holds that {counter}, and I know that {claim}.',
  '{other} looked me in the face {at} and said that {counter}, though I saw with my own eyes that {claim}.',
  'If {other} is right and {counter}, then I dreamt it, since I saw that {claim}.',
  'I wrote both tellings down {at}: {other} says that {counter}; I say that {claim}.',
  '{other} and {third} both have it that {counter}, and for the first time I doubted, {at}, that {claim}.',
  'I bit my tongue {at} while {other} told a whole table that {counter}; I was there, and {claim}.',
  '{other} will go to the grave believing that {counter}, and I to mine believing that {claim}; we shook hands on that {at}.',
];

/** After something public. */
export const afterSeen: readonly string[] = [
  'I have told only {third} so far.',
  '{third} would not meet my eye afterwards.',
  'I walked home by {place} with {third}, and neither of us said the obvious thing.',
  'I keep asking myself what {third} was doing there.',
  'Afterwards I found {note} {at}, and I cannot help joining the two.',
  'It was {third} who asked what it would cost, and {third} who went quiet at the answer.',
  'I should have called out, as {third} did.',
  'Nobody had an answer for {third}, and I least of all.',
  'I noticed that {third} was smiling.',
  'I shall ask {third}, who stood nearer.',
  'It put me in mind of something that {third} said weeks ago {at}.',
  'By the time I had reached {place}, {third} was already telling it better.',
  'I have promised {third} not to draw conclusions, and have drawn four.',
  'I felt for {third} more than for anyone.',
  'For a moment I thought that {third} would speak, and so did everyone.',
  'It is not what {third} will say happened.',
  'I looked for {third} in the crowd and found only the coat.',
  'What I remember best is {third} picking up {thing} and putting it down again.',
];

/** After something heard. */
export const afterHeard: readonly string[] = [
  'I did not say that I had heard it otherwise from {third}.',
  'I would believe it sooner if {third} had not believed it first.',
  'I passed it on to {third}, who passed it back improved.',
  'I asked how {third} came into it and had no answer.',
  'It would explain what {third} was carrying past {place}.',
  'I said that it did not sound like {third}, and then that it did.',
  'I mean to go to {place} and look for myself.',
  'I noticed that the story had grown since {third} told it to me.',
  'If it is true, then I owe {third} an apology.',
  'I thought of {third}, who will be the last to hear.',
];

/** After something between two people. */
export const afterTie: readonly string[] = [
  'I told {third}, which I should not have done.',
  'On the way home I practised what I ought to have said, to the surprise of {third}.',
  '{third} says that {first} has always been like that.',
  'I am not proud of my part, and {third} was kind enough to agree.',
  'It would all be simpler if {third} had kept out of it.',
  'I slept badly and dreamt of {first} and of {thing}.',
  'I believe that {first} meant it well, or I did until I spoke with {third}.',
  'I looked hard at {note} {at}, so as not to look at {first}.',
  '{third} passed by just then and pretended to study {thing}.',
  'I like {first} better than I did a week ago, and trust {third} rather less.',
  'I have written it down because {first} and I shall remember it differently, as {third} pointed out.',
  'I wanted to ask about {third} and did not.',
  '{first} went off by {place} without turning round.',
  'I had {thing} with me all the while and forgot to hand it to {first}.',
];

/** After one's own work or pursuit. */
export const afterOwn: readonly string[] = [
  'I was content for the length of the walk to {place}, where I met {third}.',
  'I thought of {third}, who would have done it in half the time.',
  'With {weather}, I went home by {place} and told {third} about it over the wall.',
  'I must remember to return {thing} to {third}.',
  '{third} asked what it was all for, and I had an answer ready for once.',
  'I should like {third} to know of it without my being the one to tell.',
  'I am getting better at it, though {third} is too polite to say how slowly.',
  'I had to borrow {thing} from {third} to be done before dark.',
  'I could hear {third} whistling {at} the whole time.',
];

/** What one notices in passing. */
export const noticedFrames: readonly string[] = [
  'I noticed {note} {at} {when}, and {other} says that it was not there before.',
  'With {weather}, I stood {at} for as long as it takes to miss {other}, who had just gone.',
  'I showed {other} {note} {at}, and we argued about what it meant.',
  'I sat {at} {when} doing nothing, and {other} sat down and did it with me.',
  'I saw {other} and {third} {at}, talking low, and there was {thing} between them.',
  'I came through {place} {when}, with {weather}, and envied {other} a dry doorway.',
  'I could not look away from {note} {at}, and thought of {other} without knowing why.',
  'I gave {other} good day {at} and had it back a little late.',
  'I found {thing} {at}, and I am nearly sure that it belongs to {other}.',
  'I caught {other} looking at {note} {at}, as if it had been left there as a message.',
  'Somebody has been {at} before me each morning this week; {other} thinks that it is {third}.',
  'I watched {other} cross over to {place2} with {thing} under one arm, in no hurry at all.',
  'It is a strange thing to be alone {at} {when}, with {weather} and the voice of {other} from somewhere near.',
  'I asked {other} {at} what had changed, and was told to look at my own hands.',
];

export const things: readonly string[] =
  `a brass button, an oilcloth map, a cracked blue cup, a jar of plums, a spool of red thread, a broken oar, a letter knife, a tin whistle,
  a lantern without its glass, a pair of dry boots, a bundle of willow, a wooden spoon, a child’s kite, a bag of nails, a bent key,
  a length of good rope, a candle end, a book of psalms, a ball of tarred twine, a paper of pins, a pewter plate, a walking stick, a coil of wire,
  a wet dog’s lead, a basket of eels, a hatbox, a painted tile, a sack of oats, a pocket compass, a chipped bell, a doll with one arm,
  a pot of glue, a feather duster, a green umbrella, an unpaid bill, a cheese in its cloth, a pair of scissors, a horse blanket, a folded sail,
  an empty birdcage, a bunch of sea holly, a stone with a hole in it, a roll of blotting paper, a stopped watch, a barrow wheel, a milk can,
  a pruning hook, a bottle of ink, a torn playbill, a fish knife, a bag of hazelnuts, a ladder with a rung gone, a patched shawl, a map of the shoals,
  a box of draughtsmen, a copper kettle, a slate with a sum on it, a pair of spectacles, a sealed jar, a loaf under a cloth, a fox’s tail,
  a toy boat, a seed catalogue, a mended net, an old passport, a spare rudder pin, a lump of amber, a pilot’s whistle, a string of onions,
  a music stand, a hymn with a verse crossed out, a thimble, a deck of greasy cards, a lock without a door, a weather glass, an almanac, a boot brush`
    .split(/,\s+/)
    .map((thing) => thing.trim());

/** What was owed, and what the other says was owed. */
export const sums: readonly (readonly [string, string])[] = [
  ['eleven marks', 'nine'],
  ['twelve silver marks', 'ten'],
  ['forty coppers', 'thirty'],
  ['thirteen marks', 'eleven'],
  ['six marks', 'five'],
  ['twenty marks', 'sixteen'],
  ['three marks and a kid glove', 'three marks'],
  ['seven marks in old coin', 'seven in new'],
  ['fifteen coppers', 'a dozen'],
  ['eight marks', 'six and a promise'],
  ['two gold pieces', 'one and some silver'],
  ['sixty coppers', 'fifty'],
  ['thirty marks', 'twenty-four'],
  ['nine silver marks', 'seven'],
];

/** By hour of the day. */
export function whenOf(hour: number): readonly string[] {
  if (hour < 5)
    return ['in the dead of night', 'long before light', 'while the town slept', 'at the turn of the night'];
  if (hour < 9)
    return ['at first light', 'before breakfast', 'early in the morning', 'while the shutters were still closed'];
  if (hour < 12)
    return ['in the middle of the morning', 'before noon', 'at the hour of the second bell', 'late in the morning'];
  if (hour < 15) return ['about noon', 'at dinner time', 'early in the afternoon', 'when the stalls were quiet'];
  if (hour < 18)
    return ['late in the afternoon', 'as the shadows grew long', 'toward evening', 'when the work was nearly done'];
  return ['after dusk', 'by lamplight', 'late in the evening', 'after the evening bell'];
}
