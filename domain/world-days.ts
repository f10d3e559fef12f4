import type { Ground } from './town.ts';
import { blocksOf } from './world-source.ts';

/** What fills the days between public events: what each one pursues alone, and the work of each calling. Slots as in world-ties.ts. */
export interface Pursuit {
  id: string;
  steps: readonly string[];
  ground?: Ground;
}

export interface Calling {
  id: string;
  /** An agent with one of these traits is likelier to have this calling. */
  traits: readonly string[];
  work: readonly string[];
  ground?: Ground;
}

const pursuitSource = `
# clock
I bought a stopped clock from {other} {at} and have carried it home like an invalid.
I took the clock apart on a tray {at} while {other} named the pieces wrongly on purpose.
I could not find a wheel for the clock anywhere, and then {other} came {at} with one that had been a button.
The clock ran for as long as it took {other} to cross over from {place2} {when}, and stopped again.
The clock keeps time now, four minutes behind the tower; {other} heard it strike and said {at} that the tower is wrong.
# fiddle
I have begun to learn the fiddle, and {other} has moved the lessons from indoors to {place}.
I practised {at} until {other} offered me {thing} to stop.
I can play one tune if nobody breathes; {other} held a breath for me {at}.
A string broke {at} in front of {other}, and I played on with three and was told it was an improvement.
I played at the supper {at} for {other} and five more, and somebody danced.
# gull
I picked up a gull with a broken wing {at} and was bitten for it, and {other} laughed until it hurt.
I feed the gull on scraps that {other} saves for me {at}, and it trusts neither of us.
The gull flew as far as {place} and walked home, and {other} saw it and bowed.
I meant to let the gull go {at} today, but {other} begged one week more on its behalf.
I let the gull go {at} with {other} beside me; it circled once and did not thank us.
# proverbs
I have started a book of what people here say without noticing, and the first page is all from {other}, {at}.
I have nine ways of saying “never mind” by now, the last one heard {at} from {other}.
I read {other} a saying {at} and learned that I had it backwards and that it is better so.
Somebody put a false proverb in my book, and the spelling points to {other}, who was {at} all morning.
I wrote down what {other} said {at} about {thing}, and I think that it is the one I was looking for.
# rowboat @shore
I laid the keel of a small boat {at}, and {other} asked whether it was to be a coffin or a trough.
I bent the third rib too fast and it broke in my hands; {other} heard the word I used {at}.
I traded {thing} to {other} {at} for enough copper nails to finish one side.
I launched the boat {at} before {other} could gather a crowd, and it floated level.
I rowed {other} out from {place} and back, and only our feet were wet.
# grandmother
I found a letter of my grandmother’s that names {place}, and {other} could read the half that I could not.
I asked {other} {at} what my grandmother had been called before she was called that.
There is a second letter, says {other}, and it was last seen {at} inside {thing}.
I sat {at} with {other} and we put the two letters edge to edge, and the torn names met.
I know now whose house my grandmother left in the night, and I have told {other} alone, {at}.
# kale @soil
I sowed sea kale in sand {at}, against the advice of {other}, which was free and long.
Something eats my sea kale; I kept watch {at} with {other} and saw only the moon.
I fenced the kale with {thing} {at}, and {other} calls it the fort.
I cut one leaf of kale, shared it with {other} {at}, and we were both polite.
The kale survived the salt; I showed it to {other} {at} as other people show a child.
# steps
I counted the Salt Stair at 212 going up and {other}, waiting {at}, made it 211.
I chalked every tenth step before dawn, and {other} saw me {at} with the chalk still on my knees.
I counted again with {other} calling the numbers {at}, and we lost one between two landings.
There is a step that is lower than it was; I laid {thing} on it and sent {other} to look {at}.
I have stopped counting the stair for now and told {other} so {at}, and was asked what the number was.
# echoes
I shouted my name {at} and it came back in a better voice, as {other} also heard.
I am making a map of echoes; {other} lent me a voice {at} and we filled in the north side.
There is no echo at all {at}, which {other} takes for an insult and I for a clue.
I found the spot {at} from which {place2} answers; {other} stood there and was answered in full.
I gave {other} the echo map to hold {at}, and it was held upside down and admired.
# loaf
I tried to bake the loaf that {other} remembers from childhood, and it was tasted {at} in silence.
I have been told to use sea water, by {other}, {at}, with great authority.
I burnt the fourth loaf while talking to {other} about {thing}.
I took the seventh loaf to {other} {at}, who ate a slice and looked out of the window.
I was told {at} by {other} that the loaf is right now, and that it is a pity, since it was better as a memory.
# crossing @shore
I mean to swim the harbour mouth before autumn, and told {other} so {at} so as not to be able to stop.
I swam from {place2} as far as the second buoy while {other} kept pace along the wall.
I took cramp, and {other} hauled me out {at} by the hair and the collar.
I rubbed myself with goose fat {at} and {other} held a towel and an opinion.
I swam it {when}, there and half of the way back, and {other} says {at} that the half counts.
# bottles @shore
I found a bottle {at} with a list in it of things that somebody wanted; {other} thinks it was a joke.
I have eleven bottles now and laid them out {at} for {other} in order of the sadness of their letters.
I answered one of the bottles, and {other} threw it for me {at}, being the better arm.
A bottle came back with my own letter; {other} found it {at} and had the grace not to read past the first line.
I sank {thing} {at} with {other} as witness, and shall write no more to the sea this month.
# sign
I took down the old signboard {at} to clean it, and {other} remembers it with another animal.
Under the paint there is a ship, and under the ship, says {other}, who looked at it {at} with a lens, a name.
I mixed the blue three times and {other} shook a head three times, {at}, in the last of the light.
I stopped at the second layer; {other} and I stood {at} and agreed that some names should stay under ships.
The signboard hangs again {at}, and {other} pretends not to have come on purpose to see it.
# islands
I am learning the island speech from {other}, who taught me four words for fog {at}.
I tried my island speech on the boatman {at}, and {other} had to explain that I had proposed to a barrel.
I dreamt in the island speech, and told {other} of it {at}, and was told that I had dreamt with a poor accent.
There is no word for “late” in it, {other} says; I missed {thing} {at} while learning that.
I carried on a whole quarrel in the island speech {at}, with {other}, and we were both so pleased that we forgot the cause.
# weatherbook
I began a weather book {at}, and {other} asked what I would do with it when I knew.
I was right about the wind for five days together; {other} has it in writing, {at}.
I was wrong about the storm, and {other} brought {thing} in out of the wet {at} without reproach.
I compared my book with what {other} keeps, and we differ about the one night that matters; it was argued {at} until dark.
I read my weather book through {at} and found that it is mostly about {other}.
# chessmen
I carve a set of chessmen from driftwood; the first knight was shown to {other} {at} and taken for a dog.
I gave the white king the face of {other}, and was found out {at} within the hour.
One of the bishops is missing since I left the box {at}; {other} turned out both pockets unasked.
I finished the last pawn {at} and drank to it with {other}.
I lost the first game on my own board to {other}, {at}, in nineteen moves.
# dog
A yellow dog has followed me from {place} and will not be sent home; {other} says that it has none.
I asked {other} {at} whose dog it is, and was told that now it is mine.
The dog stole {thing} {at}, and {other} paid for it before I came.
I lost the dog for a day and found it {at} asleep on the coat of {other}.
The dog barks at one person in the whole town, and I did not tell {other} {at} who it is.
# portrait
I began a portrait of {other} {at}, who sat as still as the tide.
I cannot get the mouth; {other} came {at} with a mirror and could not get it either.
I painted over the eyes of the portrait, and {other} asked {at} who that was supposed to be now.
I left the picture of {other} face to the wall {at}, and somebody turned it round.
I gave the portrait to {other} {at}, and it was looked at for a long time and then hung behind a door.
`;

const callingSource = `
# record: exact, thorough, orderly, neat, precise, learned
I copied out four pages {at} and found my own hand changed by the end of them; {other} noticed it too.
I asked {other} {at} for the date of the old fire and was given three.
I filed what {other} told me {at} under “likely”, which is not a full drawer.
I compared two lists {at} and one name stood on both in different ink; {other} would rather not discuss it.
I mended the binding of a daybook for {other} {at} and did not read it, except where it fell open.
I wrote to {other} for the missing number, and had it back {when} on the rim of a plate.
I spent the day {at} putting right a mistake that had been tidy for thirty years, with {other} to hold the ladder.
# hands: steady, inventive, scruffy, proud, plain-spoken, stubborn
I mended {thing} for {other} {at} and was paid with a story.
I made a new latch for {other}, since the old one, I am sure, had been forced; I fitted it {at} without comment.
I broke my best file {at} on a bolt that {other} swore had never been tightened.
I showed {other} {at} how to set a rivet so that it looks grown.
I would not do the work that {other} asked for {at}, since it would have held for a week and looked like a year.
I found my own mark {at} on a hinge that I do not remember making, and {other} dated it for me.
I sharpened every blade {at} for {other}, and was told only afterwards what they were for.
# trade: shrewd, smooth, worldly, quick, vain
I sold {thing} to {other} {at} for a little more than I had hoped and a little less than I had said.
I turned down {sum} {at} from {other}, since it was offered too soon.
I let {other} win a small bargain {at}, for the sake of a larger one next month.
I heard {other} name a price {at} that I had told to only one person.
I gave {other} credit {at} and wrote it where I would have to look at it.
I bought back {at} what I had sold to {other} in spring, and we both called it luck.
I weighed the same sack twice {at}, with {other} looking on, and will say nothing of the difference.
# care: kind, gentle, calm, warm, encouraging, soft-spoken
I took soup to {other}, who ate it {at} and complained, which is a good sign.
I sat {at} with {other} until the talk came round to what was wrong.
I bandaged a hand for {other} {at} and was told that it had been a door; doors do not have teeth.
I brought {other} {thing} {at}, because something had to be brought.
I held the lamp for {other} {at} through a bad hour, and neither of us will mention it.
I sent {other} home from {place} to sleep and did the rest myself.
I have seen {other} laugh {at} for the first time since the frost.
# watch: watchful, doubting, dutiful, laconic, solemn, farsighted
I walked the round {when} and met {other} {at}, where nobody has business at that hour.
I noted {note} {at}, and asked {other} to look at it with fresh eyes.
I heard steps behind me from {place2} onward and turned, and it was {other}, who had taken me for somebody else.
I kept the watch {at} with {other}, and in four hours we said nine words.
I saw a light move {at}, and {other}, two streets off, saw it too and swears that it moved the other way.
I reported {note} {at} to {other}, who wrote it down as weather.
I have the feeling {at} of being counted; {other} laughed, and then looked round.
# road: restless, cheerful, bold, nosy, playful, tactful
I carried {thing} from {place} to {other} and was asked twice what was in it.
I ran from {place2} with a message for {other} and forgot the second half on the stairs.
I took the long way by {place} to avoid {other}, who had taken it to avoid me.
I delivered a parcel to {other} {at} that ticked, and we stood back from it together.
I was given {sum} by {other} {at} to be slow for once.
I learned {at} what {other} had sealed, since the wax was poor and the wind strong.
I brought {other} the news {at} before it had quite happened.
# ground @soil: patient, weathered, wistful, dreamy, bossy
I turned the soil {at} and brought up {thing}, which {other} claims to have lost as a child.
I pruned hard {at} while {other} winced at every cut.
I told {other} {at} that it would frost, from the smell, and I was thanked with a look.
I planted out by {place} where {other} had stood all week saying that nothing would take.
I found {note} {at}, and {other} and I moved the rows to suit it.
I shared a pear with {other} {at}, the first of the year and not the best.
I let one corner {at} grow as it likes, and {other} calls it sloth and I call it the bees’.
# stage: lyrical, merry, chatty, loud, wry, dry-witted, cryptic, even-handed, stern, combative, timid, curious
I told the story of {place} to {other} {at} with a new ending, and was believed.
I asked {other} {at} for the truth of the matter and then for something I could use.
I held forth {at} until {other} put a hand on my sleeve.
I was the judge {at} between {other} and {third} over {thing}, and pleased neither.
I made a verse on {other} {at} that was meant to be kind and did not scan until it was not.
I was silent {at} for once, and {other} asked whether somebody had died.
I heard {other} tell my own story {at}, with {third} in my part.
`;

export const pursuits: readonly Pursuit[] = blocksOf(pursuitSource).map(({ id, ground, lines }) => ({
  id,
  steps: lines,
  ...(ground === undefined ? {} : { ground }),
}));

export const callings: readonly Calling[] = blocksOf(callingSource).map(({ id, ground, about, lines }) => ({
  id,
  traits: about.split(', '),
  work: lines,
  ...(ground === undefined ? {} : { ground }),
}));
