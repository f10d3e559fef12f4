import { blocksOf } from './world-source.ts';

/**
 * What the whole town lived through in the thirty days. Each moment was seen in two ways and both are kept: nobody in Oarfall
 * is told which is true.
 */
export interface Moment {
  /** From 1 to 30. */
  day: number;
  hour: number;
  importance: number;
  at: string;
  /** Clauses that stand after "saw that": two tellings of the moment, each in two wordings. */
  tellings: readonly (readonly string[])[];
}

export interface Thread {
  id: string;
  /** As after "the matter of". */
  about: string;
  moments: readonly Moment[];
}

/** `# id: about`, then a moment as `day hour importance place` and one line a telling, its wordings parted by a bar. */
const source = `
# key: the lighthouse key
2 18 7 on the lighthouse gallery
- the nail by the lamp was bare before the evening bell | the key was gone from its nail while it was still light
- the key hung on its nail until well after the evening bell | the key was still in its place when the lamp was lit
4 10 6 in the guildhall
- Old Marn turned out both pockets before anyone had asked | Old Marn emptied a coat onto the long table of his own accord
- Old Marn was searched by two guild porters against his will | the porters held Old Marn by the sleeves while his coat was emptied
8 16 5 in the smithy
- a blank cut to the pattern of the old key lay cooling on the anvil | somebody had ordered a key filed to the lighthouse pattern
- the blank on the anvil was for a strongbox and no bigger than a thumb | the smith was filing a small box key, nothing like the lighthouse one
12 22 8 on the signal hill
- the great light was dark for the space of two hundred breaths | the lamp went out and stayed out while a slow person could count two hundred
- the great light only dipped, as it does when the wick is trimmed | the lamp sank low for a moment and came up again by itself
17 11 6 on the Salt Stair
- little Wren wore a brass key on a string and hid it when called | a key flashed at little Wren’s collar and was quickly tucked away
- little Wren was wearing a bent spoon on a string | what hung from little Wren’s neck was half of an old spoon
23 7 7 at the tide mark
- the key lay on the weed, bright as new, with no rust on it | the key was found above the water line without a speck of rust
- the key came out of the sand black and eaten by salt | the key was dug up rusted through, as if it had lain there for years
28 19 8 on the lighthouse gallery
- Old Marn took the key back and wept openly | Old Marn held the key in both hands and could not speak
- Old Marn would not touch the key and asked for the lock to be changed | Old Marn stepped back from the key as if it were hot
# roll: the name scratched from the guild’s roll
1 11 6 in the guildhall
- one name had been scraped out of the roll with a blade | the fifth name on the roll was cut away down to the skin
- one name on the roll was blotted by spilled wax | wax had run over the roll and taken a name with it
5 15 6 in the guildhall
- Dorrit Vane locked the roll away before the members could look | the clerk shut the roll in the press while people were still queuing
- Dorrit Vane held the roll open for anyone who cared to look | the clerk turned the pages for each member in turn
9 20 7 in the guildhall
- the vote was called while a third of the seats stood empty | the Warden counted hands before the rope-makers had come in
- the vote was put off until the rope-makers had found their seats | the Warden waited for the last bench to fill before counting
14 12 5 in Candle Market
- the dyers struck their stalls together and walked out in a line | every dyer packed up at the same stroke of noon
- the dyers were told to go and had their awnings pulled down | porters took the dyers’ awnings while they stood by
19 17 6 in the print shop
- a bill naming the culprit was printed and then burnt | a whole bundle of bills went into the stove unread
- the bills were carried out by the back stair in a laundry basket | somebody smuggled the bills out under a heap of shirts
24 10 7 in the reading room
- an older roll turned up with the missing name written in the clerk’s hand | the missing name was found in an older roll in Dorrit Vane’s writing
- the older roll turned up with the same place left blank | even the older roll had a gap where the name should be
29 20 8 in the guildhall
- the Warden read the name aloud and asked its owner’s pardon | the Warden stood up and begged pardon before everyone
- the Warden read the name aloud and sat down without another word | the Warden spoke the name and gave no apology at all
# flood: the flood at the weir
3 9 5 at the weir
- the crack in the sill was wide enough for a fist | you could have put a whole hand into the crack in the weir
- the crack in the sill was no wider than a fingernail | a thread would hardly have gone into the crack in the weir
7 14 6 by the mill race
- Jory Pell closed the sluice and went home early | the miller dropped the sluice board in the middle of the afternoon
- Jory Pell opened the sluice as far as it would go | the miller drew the sluice board right up and wedged it
11 2 9 by the drowned field
- the water came over the bank in one wall | the river stood up and came across the field all at once
- the water rose inch by inch for hours before anyone stirred | the river crept over the field so slowly that the hens walked ahead of it
11 6 8 on Tanner’s Bridge
- the bell-ringers refused to leave the tower and rang till dawn | the bell never stopped once from midnight to sunrise
- the flood bell was not rung until everyone was already awake | the bell began only when the water was in the kitchens
13 13 6 on the granary steps
- the guild gave out dry grain without asking names | sacks were handed down the steps to whoever held out arms
- the guild wrote down a debt for every sack | each sack of grain was entered against a name before it left
18 16 5 by the drowned field
- the boundary stone had been carried a stride uphill by hands | there were barrow tracks beside the boundary stone
- the boundary stone had been rolled by the water and lay on its face | the flood itself had shifted the boundary stone
26 11 7 at the weir
- forty people came with shovels and the sill was whole by dark | the weir was mended in a single day by whoever had a shovel
- six people came with shovels and the work was left half done | hardly anyone turned out, and the weir still leaks
# stranger: the woman in the grey coat
3 17 5 on Low Quay
- the woman in the grey coat came off the ferry with a single hatbox | a stranger in grey stepped ashore carrying nothing but a hatbox
- the woman in the grey coat was on the quay before the ferry had docked | the stranger in grey stood waiting while the ferry was still outside the bar
6 21 5 in Whitsun Lane
- a lamp was burning in the empty house on every floor | all three windows of the empty house were lit
- the empty house was dark, and only its door stood open | no light showed in the empty house, though the door was ajar
10 12 6 in the old customs house
- the woman in the grey coat knew which drawer to open | the stranger went straight to the one drawer that mattered
- the woman in the grey coat asked for help with every drawer | the stranger had to be shown where anything was kept
15 15 6 in the chapel yard
- the woman in the grey coat laid sea holly on the unmarked stone | sea holly was left on the nameless grave by the stranger in grey
- the woman in the grey coat took the sea holly away | the stranger in grey gathered up the sea holly and carried it off
20 10 7 in Hask’s apothecary
- Widow Hask embraced the stranger like a sister | Widow Hask came round the counter with both arms out
- Widow Hask went white and put up the shutters | Widow Hask closed the shop the moment the stranger came in
25 18 6 on the theatre steps
- the woman in the grey coat gave little Wren a sealed letter | a letter passed from the grey sleeve into little Wren’s hand
- little Wren gave a sealed letter to the woman in the grey coat | it was little Wren who handed the letter over
30 6 7 on Low Quay
- the woman in the grey coat left by the first ferry without looking back | the stranger boarded the early boat and never turned round
- the woman in the grey coat let the first ferry go without her | the stranger stayed on the quay and watched the boat leave
# bell: the cracked bell
2 12 5 in the bell tower
- the great bell was already cracked before the noon peal | a crack ran down the great bell before anyone had touched the rope
- the great bell cracked on the third stroke of noon | it was the third stroke that split the great bell
6 10 5 in the chapel yard
- Sister Amity laid a hand on the bell and laughed | Sister Amity laughed out loud when the bell was lowered
- Sister Amity knelt by the bell and would not be spoken to | Sister Amity stayed on her knees beside the bell until evening
10 16 6 in Candle Market
- people brought brass by the basket for the new bell | every household put a candlestick or a pan on the heap
- hardly a spoon was given for the new bell | the heap of brass for the bell would have gone into one hat
16 22 8 in the smithy
- the mould burst and the metal ran across the floor | molten brass broke out of the mould and went under the door
- the pour went well and the mould held | the metal filled the mould to the brim and not a drop was lost
21 9 6 in the bell tower
- the new bell gave a clear note and was cheered | the first stroke of the new bell was as clean as water
- the new bell gave a flat note and nobody spoke | the first stroke of the new bell sounded like a dropped pan
27 18 5 in the guildhall
- Sister Amity was offered a purse and pushed it back | the founder’s fee was refused across the table
- Sister Amity was offered a purse and counted it twice | the founder’s fee was taken and counted to the last coin
30 12 6 on the signal hill
- the bell could be heard past the far buoy | the sound of the new bell carried out to the far buoy
- the bell could not be heard beyond the harbour wall | the sound of the new bell died at the harbour wall
# ferry: Captain Brack and the late ferry
1 8 4 in the ferry office
- the timetable had been altered in pencil by the Captain himself | Captain Brack was writing new times over the old ones
- the timetable had been altered in ink by somebody else’s hand | a stranger’s ink stood over Captain Brack’s times
7 19 7 on Low Quay
- the ferry struck the buoy at full speed | the ferry ran straight onto the buoy under all its canvas
- the buoy had drifted across the ferry’s lane | the buoy was far out of its place and the ferry could not miss it
8 11 6 in the ferry office
- Captain Brack’s hands shook when the log was asked for | the Captain could not hold the log still
- Captain Brack gave up the log calmly, with a bow | the Captain laid the log down as if it were a gift
13 17 5 on the pilot’s bench
- the pilots made room for the Captain on their bench | the pilots moved up and the Captain sat down among them
- the pilots spread their coats so that the Captain should stand | no pilot would move an inch to let the Captain sit
19 9 6 among the boat sheds
- the ferry’s rudder pin was sawn half through | there were saw marks on the pin of the ferry’s rudder
- the ferry’s rudder pin had simply rusted away | plain rust had eaten the pin of the ferry’s rudder
24 15 6 in the guildhall
- the inquiry rose without hearing the deckhand | the deckhand was sent away before he could speak
- the deckhand was heard for an hour and contradicted himself | the deckhand told it three ways in front of everyone
29 8 6 on Low Quay
- the ferry left on the stroke with the Captain at the wheel | Captain Brack took the ferry out himself, and to the minute
- the ferry left late with a new hand at the wheel | somebody else steered the ferry out, a quarter of an hour behind
# fever: the fever in Gull Court
4 7 6 in Gull Court
- four doors were chalked in a single night | by sunrise there was chalk on four doors
- only one door was chalked, and that by children | the only chalk mark was a child’s drawing
6 13 6 in the almshouse garden
- the well rope was cut and the bucket gone | somebody had made off with the bucket from the well
- the well was boarded over with the bucket still down it | boards had been nailed across the well in haste
9 22 7 in Hask’s apothecary
- Widow Hask gave out the last of the bark for nothing | the widow emptied the jar of bark into people’s hands without pay
- Widow Hask sold the last of the bark at four times its price | the widow weighed out the bark grain by grain against silver
14 8 7 in Gull Court
- the Warden walked through the court and drank from the pump | Warden Quill drank a whole cup at the pump before everyone
- the Warden turned back at the arch with a cloth to her mouth | Warden Quill came as far as the arch and went no further
18 20 6 in the chapel yard
- three were buried and nobody’s name was called | three coffins went down without a name spoken
- one was buried and the whole town came | a single coffin was followed by every household
22 10 6 at the washing stones
- the grey water came from the dye yard’s drain | the stain in the water led back to the dyers
- the grey water came down clear past the dye yard | above the dye yard the water was just as grey
28 9 7 in Gull Court
- the children were out and skipping rope again | there were skipping ropes in the court for the first time
- the shutters stayed closed and no child came down | not a single child was let out into the court
# play: Lucan Fairweather’s play
5 19 4 on the theatre steps
- Lucan Fairweather tore up the old script for all to see | the old play went into the gutter page by page
- Lucan Fairweather gathered the old script out of the gutter | somebody else threw the pages down and Lucan picked them up
12 15 5 on the theatre steps
- the painted mask had the Warden’s nose and chin | anyone could see the Warden’s face in the new mask
- the painted mask looked like nobody at all | the new mask was as smooth and blank as an egg
16 18 5 in the print shop
- the playbills were seized before they were dry | porters carried the wet playbills off to the guildhall
- the playbills were withdrawn by the players themselves | the players came and asked for their bills back
20 20 7 on the theatre steps
- the house was full and people stood on the window ledges | there was not a place left, even on the ledges
- half of the benches were empty when the curtain rose | the players opened to more bench than people
20 22 8 on the theatre steps
- the Warden laughed at her own likeness and clapped | Warden Quill was the first to laugh and the last to stop
- the Warden walked out in the second act | Warden Quill rose in the middle of the second act and left
23 12 5 in the guildhall
- Lucan Fairweather was fined and paid in buttons | the fine was paid with a jar of costume buttons
- Lucan Fairweather was thanked and given a purse | a purse for the players was handed across the table
27 21 5 in the net loft
- the players read a last act that had never been shown | a secret last act was read out by candle
- the players packed their trunks and read nothing | the players only folded costumes and quarrelled about the cart
# wren: little Wren’s three days
8 7 8 in the schoolroom
- little Wren’s slate was clean and the stool put up | little Wren’s place was tidied as if for good
- little Wren’s slate still had half a sum on it | a sum stood unfinished on little Wren’s slate
8 17 8 by the orchard wall
- small prints went over the wall towards the hill | a child’s feet had gone over the wall and up the slope
- small prints went along the wall towards the river | a child’s feet had followed the wall down to the water
9 6 7 on the signal hill
- the searchers kept together and called in turn | the search went up the hill in one long line
- the searchers scattered and shouted over one another | the search broke into knots of people arguing
10 15 6 by the mill race
- a child’s red cap was caught on the wheel | a red cap went round and round with the wheel
- the red cap on the wheel was a rag from the dye yard | what looked like a cap was only dyed cloth
11 8 9 in the bell tower
- little Wren was found asleep in the coil of the rope | the child was curled up in the bell rope, fast asleep
- little Wren came down from the tower alone, hungry and cross | the child walked out of the tower by itself and asked for bread
15 16 6 in the almshouse garden
- little Wren would speak only to Old Marn | the child sat by Old Marn and told him something for an hour
- little Wren ran from Old Marn and hid behind the beans | the child bolted at the sight of Old Marn
26 13 6 in the schoolroom
- little Wren drew a tower with two lights on it | there were two lights in the tower that the child drew
- little Wren drew a tower with a figure and no light | in the child’s drawing the tower was dark and somebody stood on it
# weights: the false weights in Candle Market
1 9 5 in Candle Market
- the pound weight rang hollow on the stone | the pound weight sounded like a cup when it was dropped
- the pound weight was sound and only the scale was crooked | the weight was true, and it was the beam that leaned
5 8 6 in the old customs house
- eleven weights were tried and seven were short | seven of the eleven weights came up light
- eleven weights were tried and all were true | every one of the weights balanced to the grain
11 14 6 in Candle Market
- the traders shared out bread from the stalls unpaid | bread was given away along the whole row after the flood
- the traders doubled the price of bread by noon | the price of a loaf was chalked up twice on the day of the flood
15 10 7 at the toll gate
- Jory Pell’s cart carried a second set of weights under the meal | another set of weights was dug out of the miller’s meal
- the weights in the cart had been put there while Jory Pell slept | somebody was seen pushing a box under the miller’s meal at night
21 12 6 in Candle Market
- the crowd broke the old scale to pieces with hammers | the old scale was smashed where it stood
- the old scale was carried off whole to be kept as proof | porters wrapped the old scale in sacking and took it away
25 11 6 in Candle Market
- Dorrit Vane tested each stall and put a coin in the beggar’s cup | the clerk went from stall to stall and gave the beggar the fine
- Dorrit Vane tested three stalls and passed the rest with a nod | the clerk looked at three stalls and only nodded at the others
30 10 5 in Candle Market
- prices were lower than before the quarrel | a loaf cost less than it had a month ago
- prices were just what they had been | a loaf cost to the copper what it had cost a month ago
`;

function momentsOf(lines: readonly string[]): Moment[] {
  return lines.flatMap((line, i) => {
    const found = /^(\d+) (\d+) (\d+) (.+)$/.exec(line);
    if (found === null) return [];
    const [day, hour, importance] = found.slice(1, 4).map(Number);
    const tellings = [lines[i + 1], lines[i + 2]].map((telling = '') => telling.slice(2).split(' | '));
    return [{ day: day!, hour: hour!, importance: importance!, at: found[4]!, tellings }];
  });
}

export const threads: readonly Thread[] = blocksOf(source).map(({ id, about, lines }) => ({
  id,
  about,
  moments: momentsOf(lines),
}));
