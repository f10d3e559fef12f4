/** Everyday English words that cannot both be said of one thing at one time, in the form in which memoryWords leaves them. */
const pairs = `
open shut|opened shut|opened closed|open closed|unlocked locked|lit dark|bright dark|light dark|full empty|crowded empty|
whole broken|sound broken|sound cracked|mended broken|wet dry|alive dead|awake asleep|standing fallen|found lost|won lost|kept lost|
bought sold|gave took|given taken|lent borrowed|came left|arrived left|stayed left|stayed went|stayed gone|remained left|arrived departed|
entered left|rose fell|rise fall|higher lower|raised lowered|rising falling|grew shrank|more fewer|most least|many few|
first last|before after|began ended|started stopped|start stop|begun finished|accepted refused|accepted rejected|agreed refused|
allowed forbidden|passed rejected|passed failed|succeeded failed|guilty innocent|true false|right wrong|real fake|genuine forged|
calm angry|calm shaking|laughed wept|laughed cried|smiled frowned|glad sorry|praised blamed|thanked blamed|thanked fined|friend enemy|
together apart|together scattered|together alone|joined parted|calmly shook|loud quiet|loudly silently|shouted whispered|spoke silent|
north south|east west|upstream downstream|uphill downhill|inside outside|above below|nearer farther|
clean dirty|clear cloudy|sharp flat|smooth rough|soft hard|hot cold|warm cold|heavy light|thick thin|wide narrow|deep shallow|tall short|
large small|larger smaller|huge tiny|young old|rich poor|cheap dear|paid unpaid|free sold|strong weak|fast slow|quickly slowly|
safe dangerous|healthy sick|well sick|married single|black white|present absent|there gone|still gone|visible hidden|
public secret|certain doubtful|known unknown|signed unsigned|sealed unsealed|finished unfinished|done undone|burnt saved|burned saved|
`;

const opposites = new Map<string, Set<string>>();
for (const pair of pairs.replaceAll('\n', '').split('|')) {
  const [one, other] = pair.trim().split(' ');
  if (one === undefined || other === undefined) continue;
  put(one, other);
  put(other, one);
}

function put(word: string, other: string): void {
  const known = opposites.get(word);
  if (known) known.add(other);
  else opposites.set(word, new Set([other]));
}

export function opposedTo(term: string): ReadonlySet<string> {
  return opposites.get(term) ?? none;
}
const none: ReadonlySet<string> = new Set();
