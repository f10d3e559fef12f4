/** Words for personas; `{given}` is the given name, `{at}` and `{place}` a place of the town. All text is ours. */

export const givenNames: readonly string[] =
  `Ada Adair Aeron Agnes Alba Alder Aline Alma Amos Anders Anouk Ansel Arden Arlo Asta Auberon Avis Azel Bay Beck Belen Beryl Blaise Bram
  Bree Briar Brin Bruno Bryn Cade Caius Calla Carys Caspar Cato Celia Cerys Ciaran Clement Cleo Conall Cora Corin Cosima Cressida Cyra Dagny Dain
  Damaris Daria Darrow Delia Dessa Dov Drina Ebba Edmund Effie Eilis Einar Elias Elke Ember Emrys Enid Ephraim Erland Esme Etta Eudora Ewan Fable
  Faye Felix Fern Finnian Fleur Flint Flora Frey Gaia Galen Garnet Gideon Gilda Gwen Hale Hanne Hart Hazel Hedda Helga Hero Hester Hollis Honor
  Idris Ilka Ilse Imogen Ines Ingram Io Iona Iris Isolde Ivo Jarek Jasper Joss Jubal Juno Kai Kasimir Keir Kestrel Kit Lark Laszlo Leda
  Leif Lena Leto Linnet Liv Lorcan Lorne Lucia Ludo Lyra Mabel Maeve Magnus Malin Mara Marek Maren Maris Matthias Maud Mercy Merle Mika Milo
  Mira Moss Nadia Naomi Nerys Nico Niamh Noor Nora Odile Odo Oona Oren Orla Oscar Ottilie Otto Pascoe Pax Perrin Petra Philippa Phoebe Pia Quill
  Quincy Rafe Ragna Reeve Remy Rhea Rhys Roan Robin Rosalind Rowan Rufina Runa Sabine Saga Sander Sela Seren Silas Silvan Sive Sol Soren Sorrel
  Sunniva Sylvie Tace Talia Tamsin Tarn Teodor Tess Thea Thora Tilda Tobin Torin Tova Ulla Uma Una Ursa Vada Valdis Vera Vesna Vida Viggo
  Wilder Willa Winifred Wren Xanthe Yara Ysolde Yves Zadie Zephyr Zora`
    .split(/\s+/)
    .filter((name) => name !== '');

/** Second given names, for the agents of an archetype beyond the first round of given names. */
export const secondNames: readonly string[] =
  `Ash Bell Birch Blythe Brook Clay Cliff Cove Crane Dale Dawn Dell Drift Dune Elm Fen Field Ford Frost Glen Grove Haven Heath Heron Hill
  Holm Holt Ivy Jay Lake Lane Leigh Linden Loch Marsh May Mead Mere Moor North Oak Pike Plover Rain Reed Ridge Rill Rook Rose Rush Sage Shaw
  Sky Snow Stone Storm Strand Swift Teal Thorn Vale West Wick Wold`
    .split(/\s+/)
    .filter((name) => name !== '');

export const origins: readonly string[] = [
  '{given} grew up above a sailmaker’s loft, where silence meant that somebody was concentrating',
  'Left {at} in a fish basket with a note nobody could read, {given} has distrusted handwriting ever since',
  '{given} came to Oarfall with a travelling fair and stayed behind when the wagons left in the night',
  'The youngest of seven, {given} learned to be heard by speaking last',
  '{given} spent ten winters on a lightship and still wakes at every change of the watch',
  'Born in the year of the long frost, {given} was carried to the naming {at} wrapped in a flour sack',
  '{given} was apprenticed {at} at nine and has never quite stopped sweeping the floor there in dreams',
  'Raised by a grandmother who kept bees and grudges, {given} inherited a little of both',
  '{given} once held a clerk’s post inland and walked away from it in the middle of a sum',
  'Nobody remembers {given} arriving; one autumn there was simply another regular {at}',
  '{given} survived the wreck of the Patient Annie and refuses to call it luck',
  'Schooled by lamplight {at}, {given} knows the first chapter of everything and the last of very little',
  '{given} was meant for the chapel and left it over a question that no one there would answer',
  'The child of a ferryman and a forger, {given} respects both timetables and good copies',
  '{given} kept house for a blind cartographer and describes every room by its echoes',
  'Sent away at twelve for telling the truth at a wedding, {given} returned at thirty with better timing',
  '{given} learned to read from shop signs {at}, which is why prices are still the easiest words',
  'A fever took the whole of one summer from {given}, who has been collecting other people’s summers since',
  '{given} was for years the night porter of the old customs house and knows which doors are only painted on',
  'Three towns claim {given}, and {given} has declined each of them politely',
  '{given} was raised among puppeteers and still looks for the strings first',
  'Found as a baby {at} during the great spring tide, {given} was named by a show of hands',
  '{given} gave up a good voice after one bad night on stage and now listens for a living',
  'The family business failed {at} when {given} was six, and its last sign still hangs over {given}’s bed',
  '{given} walked the coast road for two years delivering letters to people who had moved',
  'Taught chess by a prisoner and patience by a goat, {given} has needed the second more often',
  '{given} was the only pupil of a clockmaker who never let anyone touch a clock',
  'An aunt’s house {at}, with eleven locked cupboards, was all the school that {given} needed',
  '{given} has buried two names already and answers to this one because it was a gift',
  'Brought up on islands too small for secrets, {given} found the town delightfully full of them',
  '{given} once won {place} at cards, and gave it back before breakfast',
  'The flood year took the family’s papers, so {given} exists chiefly by repute',
  '{given} studied medicine for a winter and people for every winter after',
  'Half of {given}’s childhood was spent in the wings {at}, waiting for somebody else’s cue',
  '{given} was a smuggler’s lookout at seven, and has made an honest trade of the same eyes',
  'Nursed through a hard year by neighbours {at}, {given} keeps an exact account of the soup',
  '{given} comes of a long line of people who left before the end',
  'It was {given} who rang the bell by mistake in the year of the false invasion, and it was {given} who confessed',
  '{given} was brought up to mend what was broken and to ask only afterwards who broke it',
  'A twin whose other half went to sea, {given} still leaves the better chair empty',
];

/** What keeps a persona awake, after "cannot put down" or "is". */
export const preoccupations: readonly string[] = [
  'the gap between two accounts of the same night',
  'a tune that breaks off in the same place each time',
  'who moved the boundary stone by the drowned field, and for whom',
  'the question of what the town would forget first if nobody wrote it down',
  'a debt that was paid to the wrong person',
  'the way a crowd decides something before anyone has spoken',
  'a drawer of letters that were never posted',
  'how long a kindness may go unreturned before it turns into a claim',
  'the hour between the last lamp and the first baker',
  'a map on which one street has been drawn from memory',
  'the difference between keeping a secret and keeping quiet',
  'what the old keeper saw on the night the light went out',
  'a promise made on behalf of somebody who had not been asked',
  'the sound the harbour makes when a boat is missing from it',
  'why the same three people always sit together and never talk',
  'a recipe that only works when it is read aloud',
  'whether a fair price and a just one are ever the same number',
  'the small repairs that nobody notices until they stop',
  'a name scratched out of the members’ roll with real care',
  'how rumours choose their roads through the town',
  'a wager with the sea that has run for nine years',
  'the last page of a ledger that balances too well',
  'what children here are told not to play at',
  'the exact moment when weather becomes trouble',
  'an apology that has been rehearsed too often to be believed',
  'the habit people have of thanking the wrong hands',
  'a door in the upper town that is painted every spring and never opened',
  'the part of each story that every teller leaves out',
  'whether the bell was cracked before or after it was blessed',
  'a stranger’s face that is on nobody’s list',
  'how to lose an argument without losing the friend',
  'the number of steps on the Salt Stair, which will not stay the same',
  'the thought that the flood was not the river’s fault',
  'a game of draughts that two dead men left unfinished',
  'what a guild is for once its trade has gone',
  'the smell of one particular winter',
  'a map of favours, and where it has been folded too often',
  'the person that everyone describes differently',
  'how much of a promise survives being written down',
  'the first lie told about the lighthouse key',
];

/** After "wants" or "hopes". */
export const wants: readonly string[] = [
  'to be believed the first time',
  'to finish one thing so well that nobody asks who did it',
  'to hear the other side before the matter is settled',
  'to own a boat small enough to be alone in',
  'to see the guild apologise in public, once',
  'to be forgiven by somebody who does not yet know the offence',
  'to leave a record that a child could follow',
  'to pay back the soup',
  'to win a single argument against the tide',
  'to be invited without having hinted',
  'to put a true name under every portrait in the hall',
  'to sleep through one storm',
  'to teach what was learned the hard way to someone who will use it',
  'to find out who leaves sea holly in the chapel yard',
  'to make the two halves of the town sit at one table',
  'to sell nothing that would not be given to a friend',
  'to go back inland once and be surprised by it',
  'to be needed a little less and liked a little more',
  'to hold the lighthouse key for one night only',
  'to hear the unfinished tune to its end',
  'to be the calm voice in the next emergency',
  'to see the weir mended before the spring tides',
  'to be wrong about one particular person',
  'to build something that outlasts its builder by a week at least',
  'to tell one story that nobody corrects',
  'to trade one secret fairly',
  'to keep a promise that everybody else has forgotten',
  'to be asked for advice before the damage instead of after',
  'to know where the missing pages went',
  'to plant a tree and sit under it',
  'to hear a rumour die of natural causes',
  'to be remembered for a small thing rightly',
  'to have the last quiet table at the window',
  'to see the ferry run on time for a whole month',
  'to meet the person who answers the fog horn',
  'to make peace with a sibling through the post',
  'to stop counting and still know the number',
  'to be trusted with the dull work again',
  'to understand the weather in at least one house',
  'to be on the quay when the Patient Annie’s bell comes up',
];
