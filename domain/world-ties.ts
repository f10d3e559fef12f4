import type { Ground } from './town.ts';
import { blocksOf } from './world-source.ts';

/**
 * What two people of the town have going between them, stage by stage; `a` began it. Both remember the same stages, each from
 * their own side, and not always alike. Slots: {other}, {first} (the other's given name), {third}, {at}, {thing}, {sum}, {less}.
 */
export interface Matter {
  id: string;
  /** What it is about, as after "spoke again of". */
  about: string;
  a: readonly string[];
  b: readonly string[];
  /** Where it can happen; anywhere if absent. */
  ground?: Ground;
}

/** `# id @ground: about`, then four lines of `a`, then four of `b`. */
const source = `
# loan: the loan
I lent {other} {sum} {at} and asked for nothing in writing.
{other} spoke with me {at} of everything under the sun except the {sum} between us.
I asked {other} outright for the {sum} {at}, and {first} counted {less} into my hand as if that were the whole of it.
{other} left an envelope for me {at}: the rest of the {sum}, and not a word with it.
{other} lent me {sum} {at} before I had found out how to ask.
I met {other} {at} and talked for a quarter of an hour about {thing}, so as not to talk about what I owe.
{other} wanted the money back {at}; I paid {less}, which is what we had agreed, whatever {first} says now.
I left what was still owing to {other} {at} and felt lighter by more than the coins.
# skiff @shore: the skiff that we own in halves
{other} and I bought a leaking skiff together {at}, half the price each and half the leaks.
I found the skiff moored {at}, salted and scraped, and {other} denied having had it out.
I told {other} {at} that one of us would have to buy the other out, and named {sum}.
{other} and I caulked the skiff {at} and did not once mention who owns which end.
I went halves with {other} on a skiff {at}; {first} took the bow half, for a joke.
{other} accuses me of taking the skiff out at night, when all I did was bail it {at}.
{other} offered me {sum} {at} for my half of the skiff, in a tone that I did not care for.
I worked beside {other} {at} with a caulking iron until neither of us could stay angry.
# letter: the letter that was carried too late
I gave {other} a sealed letter {at}, to be put into the hand of {third} and no other.
{other} swore to me {at} that the letter had gone, and looked at {thing} while swearing.
I learned from {third} that nothing ever came, and I put it to {other} {at}.
{other} brought me my own letter back {at}, the seal whole and the paper worn soft with carrying.
{other} trusted me {at} with a letter for {third}, and I put it in the wrong coat.
I told {other} {at} that the letter had been delivered, since I meant it to be by evening.
{other} has found out about the letter; I stood {at} and had no good answer ready.
I gave the letter back to {other} {at}, unopened, which is the only part that I can be proud of.
# lessons: the lessons
I began to teach {other} to read the tide tables {at}, starting with the moon.
{other} missed two lessons running, and then came to find me {at} with every answer right.
I was sharper with {other} {at} than the mistake deserved, and knew it before I had finished.
{other} corrected a figure of mine {at}, and was right, and I was proud for both of us.
{other} is teaching me the tide tables {at}; I had not known that the moon could be so tiresome.
I stayed away from lessons to study alone, and surprised {other} {at} with the whole of the third table.
{other} lost patience with me {at} over one wrong figure and said a thing that I have not put down yet.
I caught {other} in an error {at}, a small one, and was praised for it as if I had found gold.
# pitch: the pitch by the pillar
I found {other}’s table standing {at} where mine has stood since spring.
I moved {other}’s table four feet {at}, carefully, without breaking so much as a cup.
{other} brought the clerk to me {at} with an old paper that gives the pitch to nobody.
{other} and I have drawn a chalk line {at}, and each of us keeps a boot on it.
I set up my table {at}, in an empty place, and {other} looked at me as at a burglar.
I came back and found my table pushed against the wall {at}; only {other} would do it so politely.
I showed {other} the old paper {at}, hoping that it would shame us both, and it did not.
I share the pitch {at} with {other} now, by a chalk line, and the line is straighter than the peace.
# secret: what was told in confidence
I told {other} {at} what I have told nobody about {third}.
I heard my own words {at} from a third mouth, and only {other} could have lent them out.
I asked {other} {at} who else knows about {third}, and watched the answer being put together.
I have forgiven {other} {at}, though I shall carry the next secret further before I set it down.
{other} told me a thing {at} about {third} that I wish I could give back.
Somebody guessed at the matter of {third} in my hearing {at}, and I said too little to be believed; {other} will think it was me.
{other} questioned me {at} about {third} as if I were on oath, and I had kept faith all the time.
I was forgiven by {other} {at} for what I did not do, and took it, because it was kindly meant.
# witness: the promise to speak at the hearing
{other} asked me {at} to stand up at the hearing and say what I saw, and I gave my hand on it.
{third} warned me off the hearing, and I told {other} {at} that I was thinking it over.
I spoke at the hearing after all, and saw {other} {at} on the front bench with both eyes shut.
{other} thanked me {at} for the half of it that I remembered, and asked kindly about the rest.
I begged {other} {at} to speak for me at the hearing, and had a firm yes.
{other} is wavering about the hearing; I could hear it {at} in the way that {first} praised my patience.
{other} did stand up for me, {at}, and left out the one thing that mattered.
I thanked {other} {at} for speaking, and could not help asking why {first} had stopped where it counted.
# recipe: the recipe
I gave {other} the recipe for the black loaf {at}, all but one line.
{other} came to me {at} with a loaf as flat as a slate and a very thoughtful face.
I owned up to {other} {at} about the missing line, and was called by a name that I had earned.
{other} served me the black loaf {at}, with something added, and it was better than mine.
{other} wrote the black loaf down for me {at}, and I felt that I had been let into the family.
My third loaf failed, and I carried it to {other} {at} and said nothing and watched.
{other} confessed {at} to having kept back a line of the recipe; I said what I thought, and then laughed.
I baked the black loaf my own way for {other} {at}, and {first} asked for the recipe.
# messages: the messages for a third person
I asked {other} {at} to tell {third} that I am sorry, without saying for what.
{other} brought me an answer from {third} {at} that was far too well put to be true.
I found out from {third} that no message was ever given, and went looking for {other} {at}.
I told {other} {at} that from now on I shall carry my own words to {third}, however badly.
{other} has made me the go-between with {third}; I took the first message {at} like a hot dish.
I made up a kinder answer from {third} and gave it to {other} {at}; somebody had to.
{other} came at me {at} about the messages, and I could only say that peace had seemed worth it.
I am no longer to carry words for {other}; it was said {at}, quietly, and I slept well after it.
# ring: the ring that was found
{other} and I saw the same glint {at}, and I was the one who bent down for the ring.
{other} asks to hold the ring each time we meet {at}, and gives it back more slowly.
I had the ring valued at {sum} and told {other} {at} that it was worth a little less.
{other} and I pinned up a notice {at} about the ring, which one of us should have done at once.
I saw the ring first {at}, and {other} was merely quicker in the knees.
I asked {other} {at} whether the ring had been shown to a jeweller, and had a shrug for an answer.
{other} says {at} that the ring is worth {less}; the jeweller told me {sum}, so one of us is smiling for nothing.
I wrote the notice about the ring and {other} held the nails {at}; we both hoped that nobody could read.
# duet: the duet
{other} and I tried the old duet {at} and got as far as the ninth bar before laughing.
I told {other} {at} that the slow part was dragging, and the whole evening dragged after it.
{other} did not come to practise, so I sang both parts {at} to an audience of {thing}.
{other} and I sang the duet through {at} without one mistake and without once looking at each other.
I sang with {other} {at}, and for eight bars I forgot to be afraid of the ninth.
{other} finds fault with my slow part; I said {at} that a hurry is not the same as a rhythm.
I stayed away from practice, and {other} knows why, and we both spoke {at} as if it had been my throat.
I kept my eyes on {thing} {at} and sang the duet with {other} to the end; it was perfect and rather sad.
# nursing: the nights by the sickbed
I sat up with {other} through the worst of the fever and came home past {third} {at}.
{other} was well enough to complain of the broth, and we quarrelled about salt {at} like healthy people.
I asked {other} {at} what had been said in the fever, and was told that it was only numbers.
{other} walked as far as I did {at}, on one stick, and would not take my arm.
{other} sat by me in the fever, as I am told by {third} {at}; I remember only a hand and a spoon.
I said a hard word to {other} {at} about the broth, and have been trying since to take it back.
{other} wants to know {at} what I said in the fever, and I have decided that I do not remember.
I walked with {other} {at} on a stick, and let {first} believe that the stick was my idea.
# draughts: the long game of draughts
{other} and I began a game of draughts {at} that is to last until one of us is beaten fairly.
{other} moved a piece while I was watching {thing} {at}, or else I have forgotten how I left the board.
I offered {other} a draw {at}, and was asked whether I was feeling ill.
{other} took my last piece but one {at} and apologised to it.
I have started a game with {other} {at}, one move a meeting, and shall be grey when it ends.
{other} suspects me of moving a piece {at}; it was the cat, and nobody believes in the cat.
I refused a draw {at} from {other}, whose hand was shaking, and I have wondered since whether that was pride.
I am one move from beating {other} and have twice found a reason {at} not to make it.
# bounds @country: the walk along the old boundary
{other} and I set out {at} to walk the old boundary with a rope and a borrowed map.
{other} read the map one way {at} and I read it the other, and the rope was pulled taut between us.
I found the third marker {at}, face down, and {other} had walked straight over it.
{other} and I closed the line {at} after dark, eleven paces out, and swore to tell nobody of the eleven.
I carried the rope and {other} the map {at}; we were both glad that nobody was timing us.
{other} holds maps upside down; I proved it {at} and was not thanked.
I would have seen the third marker {at} if {other} had not been talking about {third}.
I measured the gap with {other} {at}, and it was nine paces, though {first} has made it eleven in the telling.
# feast: the words at the feast
I made a toast {at} that {other} took as an insult, with everyone still holding a cup.
I went to explain myself to {other} {at}, and explained myself into a deeper hole.
{third} advised me to let it rest, but I wrote to {other} and handed the letter over {at}.
{other} raised a cup to me {at} and said my own words back, and this time they were funny.
{other} made a toast {at} with a thorn in it, and everyone looked to see where it had gone in.
I listened to {other} {at} explaining the toast until I was sorrier for {first} than for myself.
I have had a letter from {other}; I read it three times {at} and liked the crossing-out best.
I gave {other} the toast back {at}, word for word, and we are friends again or something near it.
# lodger: the room under the roof
I let the room under my roof to {other} for {sum} a month and we shook hands on it {at}.
{other} walks about up there at three in the morning; I mentioned it {at}, lightly.
I went up while {other} was seen {at}, and found the floor covered with drawings of {thing}.
{other} paid me the month {at} in full and asked whether I would like to see some drawings.
I have taken a room from {other} for {sum} a month, agreed {at} in a high wind of good will.
{other} hears me at night, it seems; I was told so {at} with a smile that had been practised.
I came home from talking {at} and knew that {other} had been in my room, from the way {thing} was lying.
I showed {other} the drawings, all but four, after we had settled the rent {at}.
# garden @soil: the shared bed of kale
{other} and I dug one long bed together {at} and planted it from opposite ends.
{other}’s end of the bed is up already, and I was told so {at} as if it were news of a birth.
I caught {other} {at} watering my end, and I do not know why that made me angry.
{other} and I cut the first kale {at} and found that the two ends had long since met.
I planted from the west end and {other} from the east {at}, and we did not meet before dark.
I praised my own seedlings to {other} {at} a little more than they could bear.
I watered {other}’s end of the bed, since it was dying, and was shouted at for it {at}.
I shared out the kale with {other} {at} and gave away the larger half without being seen to.
# wager: the wager on the ferry
I bet {other} {sum} {at} that the ferry would not keep its times for nine days together.
{other} met me {at} on the fifth day with a face like a paid bill.
I caught {other} {at} in close talk with the deckhand, and our wager has not smelt right since.
{other} and I agreed {at} that a bet on a sunk buoy is no bet, and drank the {sum}.
I took {other}’s wager of {sum} {at}, out of loyalty to the ferry and nothing else.
I reminded {other} {at} that five days out of nine were already mine.
{other} saw me {at} speaking to the deckhand, who is my cousin, and now looks at me sideways.
I would have won, but I let {other} off {at}, and we turned the {sum} into supper.
# logbook: the logbook of the Patient Annie
{other} and I have begun to read the logbook of the Patient Annie aloud {at}, a page at a time.
{other} reads ahead without me; I could tell {at} from the way the sad parts did not surprise.
I said {at} that the last entry is in another hand, and {other} would not have it.
{other} and I closed the logbook {at} at the last page and have agreed to disagree about whose hand it was.
I hold the lamp and {other} the logbook {at}; between us we make one fair scholar.
I did read ahead in the logbook, and {other} saw it in my face {at}, and neither of us said so.
{other} has a theory of two hands in the logbook, and argued it {at} until the lamp gave out.
I went over the last page with {other} {at} once more; it is one hand, and a cold one.
# warning: the warning about a third person
I warned {other} {at} not to go into business with {third}, and said why.
{other} has gone and told {third} what I said, as I learned {at} to my cost.
I stood {at} between {other} and {third} while each of them asked me what I had meant.
{other} told me {at} that I had been right about {third}, a month too late and very handsomely.
{other} took me aside {at} and spoke against {third} in a low voice, with no proof at all.
I asked {third} about it openly, which {other} calls a betrayal and said so {at}.
I made {other} repeat it {at} in front of {third}, and it came out a good deal smaller.
I had to own to {other} {at} that the warning about {third} was a true one.
`;

export const matters: readonly Matter[] = blocksOf(source).map(({ id, ground, about, lines }) => ({
  id,
  about,
  a: lines.slice(0, 4),
  b: lines.slice(4, 8),
  ...(ground === undefined ? {} : { ground }),
}));
