/** Oarfall, the small harbour town in which the agents of a first start live. All text is ours. */
export interface Place {
  name: string;
  /** With its preposition, as after "I stood". */
  at: string;
  /** What one may notice there, as after "I noticed". */
  notes: readonly string[];
}

function place(name: string, at: string, notes: string): Place {
  return { name, at: `${at} ${name}`, notes: notes.split(' | ') };
}

export const places: readonly Place[] = [
  place(
    'the Salt Stair',
    'on',
    'the third step worn hollow as a bowl | a line of wet prints that stopped halfway up | chalk tallies under the handrail | a rope burn on the newel post | a gull asleep where the stair turns',
  ),
  place(
    'Low Quay',
    'on',
    'two boats moored where one belongs | a coil of new rope among the rotten ones | tar bubbling between the planks | a crate stencilled with a name rubbed out | the ferry bell hanging crooked',
  ),
  place(
    'the lighthouse gallery',
    'on',
    'a smear of oil on the inner glass | the brass rail polished on one side only | moths heaped under the lamp | the empty nail where a key should hang | a crack in the western pane',
  ),
  place(
    'the guildhall',
    'in',
    'a chair pushed back from the long table | wax spilled over two seals | the roll of members opened at the wrong page | dust on the petition box | a bench moved against the side door',
  ),
  place(
    'Candle Market',
    'in',
    'a scale that settles a finger too low | three stalls shuttered before noon | a price chalked out and written higher | honey dripping from a cracked jar | a child counting other people’s coins',
  ),
  place(
    'the rope walk',
    'in',
    'hemp dust standing in the light | a strand laid the wrong way | footprints beside the long shed | a hook bent from some heavy pull | the walk swept cleaner than usual',
  ),
  place(
    'the orchard wall',
    'by',
    'a gap where two stones had been taken out | windfalls sorted into neat rows | a ladder left on the wrong side | wasps busy over a single pear | bark stripped from the oldest tree',
  ),
  place(
    'the mill race',
    'by',
    'the sluice board swollen in its groove | a shoe turning in the slack water | foam the colour of tea | the wheel stopped at an odd angle | fresh clay on the bank',
  ),
  place(
    'the chapel yard',
    'in',
    'moss scraped from one name | the gate tied with red thread | a lantern burnt down to the socket | a bunch of sea holly on no one’s stone | the yew shedding out of season',
  ),
  place(
    'the ferry office',
    'in',
    'a timetable corrected in two hands | a wet ledger drying by the stove | the spare ticket punch gone from its drawer | a queue with nobody at the window | a map pinned upside down',
  ),
  place(
    'Tanner’s Bridge',
    'on',
    'initials cut into the parapet | a plank that answers with the wrong note | the river running a hand higher than the mark | a glove pinned to the rail | swallows under the second arch',
  ),
  place(
    'the net loft',
    'in',
    'a mesh mended with blue twine | scales stuck to the skylight | a hammock still swinging with nobody near | cork floats threaded in the wrong order | the trapdoor held with a stone',
  ),
  place(
    'the old customs house',
    'in',
    'a drawer forced and put back | ink dried in eleven little pots | the weights arranged by colour, not by size | a blind nailed down on the seaward side | a stack of forms with one missing number',
  ),
  place(
    'the bakehouse',
    'in',
    'a batch scored with a mark I did not know | flour on the outside of the door | a loaf kept back under a cloth | the peel cracked along its grain | the oven drawing badly',
  ),
  place(
    'Hask’s apothecary',
    'in',
    'a jar turned to hide its label | the poison book left open | camphor where there should be mint | an unpaid bill spiked twice | a set of spoons one short',
  ),
  place(
    'the schoolroom',
    'in',
    'a sum on the board that nobody would claim | seven slates and eight pupils | the globe turned to the southern sea | a paper boat in the inkwell | the stove door wired shut',
  ),
  place(
    'the tide mark',
    'at',
    'weed lying above the painted line | a bottle with sand in place of a letter | the gauge board loose at its foot | a row of shells set out on purpose | a seal watching from the slack',
  ),
  place(
    'Cooper’s Row',
    'in',
    'a hoop rolling down with no child behind it | steam from a cellar grating | a door painted over its own number | staves stacked to dry in the wet | two neighbours talking through one window',
  ),
  place(
    'the granary steps',
    'on',
    'grain trodden into the third tread | a cat with no mice to show | the tally board wiped in a hurry | a sack sewn with the guild’s own thread | rats’ gnawings fresh on the sill',
  ),
  place(
    'the signal hill',
    'on',
    'the flag halyard cut, not frayed | a ring of trampled heather | the brazier warm at an hour it should be cold | a spyglass case without its glass | a sail that had stood off all day',
  ),
  place(
    'the dye yard',
    'in',
    'a vat gone the wrong blue | cloth hung out in the order of a signal | a stained glove on the boiler | the drain running red to the river | a new padlock on an old shed',
  ),
  place(
    'the print shop',
    'in',
    'type left standing in the forme | a proof with a name set backwards | lampblack on the stair | one case of letters short of its e | a bundle tied for no address',
  ),
  place(
    'the almshouse garden',
    'in',
    'beans staked in pairs | a bench turned to face the lane | a hat on a scarecrow I had seen at market | the well cover weighted with books | a robin tame as a coin',
  ),
  place(
    'Whitsun Lane',
    'in',
    'a curtain that closed as I came | a pram full of coal | a trail of sawdust to the last house | two bells rung and no door opened | a lamp lit in the empty house',
  ),
  place(
    'the boat sheds',
    'among',
    'a hull painted over one letter of its name | shavings sweet as apples | an adze left in the rain | a keel laid without any feast | a tarpaulin with somebody breathing under it',
  ),
  place(
    'the weir',
    'at',
    'a willow caught across the sill | eels shouldering up the pass | the warning bell tied back | a crack with a wet edge | silt in the shape of a hand',
  ),
  place(
    'the bell tower',
    'in',
    'a rope spliced at shoulder height | feathers on the ringing floor | the clock four minutes ahead of the sea | a supper tray two days old | a name burnt into the beam',
  ),
  place(
    'the toll gate',
    'at',
    'coppers laid out in a cross | the bar propped open with a broom | wheel ruts deeper going out than coming in | a notice pasted over another notice | a lantern with green glass',
  ),
  place(
    'the washing stones',
    'at',
    'a shirt with a stranger’s laundry mark | soap frozen into the shape of a fish | grey water where it should be clear | a ring caught between two stones | laughter that stopped when I came near',
  ),
  place(
    'the reading room',
    'in',
    'a newspaper with the middle cut out | the same book asked for three times | pencil in a margin, pressed hard | a chair warmed and left | the catalogue drawer for K removed',
  ),
  place(
    'the bee garden',
    'in',
    'a swarm hanging low and quiet | a hive turned from the wind | crape on the nearest skep | clover cut before its time | a smoker still ticking with heat',
  ),
  place(
    'the pilot’s bench',
    'on',
    'knife marks counting something | tobacco spilled in the cracks | a chart held down with mussels | a bottle passed without a word | a place left empty in the middle',
  ),
  place(
    'the smithy',
    'in',
    'a hinge forged left-handed | water black in the quench | a key blank cooling on the anvil | the bellows patched with sailcloth | a horse shying at the doorway',
  ),
  place(
    'Gull Court',
    'in',
    'washing taken in with the sun still out | a fiddle stopped in the middle of a bar | a barrow with one new wheel | three cats facing the same wall | a letter pushed half under a door',
  ),
  place(
    'the drowned field',
    'by',
    'fence posts marching into the water | a plough handle like a raised arm | avocets where barley was | a boundary stone moved a stride | a boat tied to an apple tree',
  ),
  place(
    'the theatre steps',
    'on',
    'a playbill with tonight’s date and last year’s cast | a mask hanging from the lamp bracket | rice thrown for some wedding | a torn ticket for a seat that does not exist | a rehearsal that sounded like a quarrel',
  ),
];

/** Where a boat, a bed of kale or a rope across country makes sense. */
export type Ground = 'shore' | 'soil' | 'country';
const grounds: Record<Ground, string> = {
  shore:
    'Low Quay, the tide mark, the pilot’s bench, the boat sheds, the weir, the mill race, the drowned field, the washing stones, Tanner’s Bridge',
  soil: 'the orchard wall, the almshouse garden, the bee garden, the chapel yard, the drowned field',
  country:
    'the signal hill, the orchard wall, the drowned field, the mill race, the toll gate, the weir, the tide mark',
};

/** The places of a ground; all of them without one. */
export function placesOf(ground?: Ground): readonly Place[] {
  if (ground === undefined) return places;
  const names = new Set(grounds[ground].split(', '));
  return places.filter(({ name }) => names.has(name));
}

/** Neighbours where a fleet is too small to people a town by itself. */
export const neighbours: readonly string[] =
  `Aldous Kray, Betha Sorrow, Cole Ashby, Dunstan Reed, Edda Marsh, Fenn Hollow, Greta Lowe,
  Hob Tarrant, Ida Penrose, Jonas Keel, Kerra Dunne, Lot Wainwright, Merrin Shaw, Nell Garrow,
  Osk Bramley, Piers Holloway, Quenby Hart, Rufus Tolland, Sabra Nye, Tam Orchard, Una Breck,
  Vail Stannard, Wyn Carrow, Yestin Moor, Zella Crane, Abel Frost, Brona Teague, Cass Elder,
  Dace Whitlow, Emlyn Rook`.split(/,\s*/);

export type Weather = 'clear' | 'rain' | 'fog' | 'wind' | 'storm' | 'frost' | 'heat' | 'cloud';

/** Clauses that stand after "with" or by themselves after a comma. */
export const weatherClauses: Record<Weather, readonly string[]> = {
  clear: split(
    'the air so clear the far islands looked rowed closer | the sky washed and empty | the sun laying a road across the harbour | every roof edge sharp as a cut | not a cloud to hang a worry on | the light coming off the water onto the ceilings',
  ),
  rain: split(
    'rain ticking in every gutter | the rain coming in sideways off the water | a thin rain that wet more than it fell | puddles joining hands down the lane | the slates running like a brook | rain enough to talk under',
  ),
  fog: split(
    'fog up to the window sills | the fog horn answering itself | a fog that took the far side of the street | everything past ten paces gone to wool | the lamps hanging in the fog without posts | fog beading on every sleeve',
  ),
  wind: split(
    'the wind worrying every latch | a wind that carried half of each sentence off | signboards knocking up and down the row | the gulls flying backwards | a dry wind with sand in it | the halyards drumming all along the quay',
  ),
  storm: split(
    'thunder walking round the bay | the sea coming over the wall in sheets | a storm lifting slates in the upper town | lightning enough to read by | the shutters barred before supper | waves breaking white against the light',
  ),
  frost: split(
    'frost on the inside of the glass | the pump wrapped in straw | the mud gone hard as crockery | every rope stiff as a rail | breath hanging where people had been | ice thin as paper in the buckets',
  ),
  heat: split(
    'the tar soft underfoot | heat standing in the lanes like a guest | dogs laid out in every doorway | the harbour flat and smelling of weed | awnings let down before breakfast | no breath of air even on the hill',
  ),
  cloud: split(
    'low cloud over the chimneys | a sky like an unrinsed pan | the day never quite getting up | grey light without a direction | the hills taken off at the knees | a stillness that might have meant anything',
  ),
};

function split(clauses: string): string[] {
  return clauses.split(' | ');
}
