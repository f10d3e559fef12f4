/** English words of four letters or more that name no subject; other languages rely on how often a word comes back. */
export const stopWords: ReadonlySet<string> = new Set(
  `about above across after again against almost alone along already also although always among another anybody anyone anything
  around asked away back became because become been before began behind being below beside between beyond both bring
  brought called came cannot come could didn't does doesn't doing done don't down during each either else enough even ever
  every everyone everything felt first found from gave give given goes going gone have haven't having heard help here
  herself himself however inside into isn't itself just keep kept knew know known last later least left less like little
  long look looked made make making many maybe might mind more most much must myself near nearly need neither never next
  nobody none nothing often once only other others ought ourselves outside over perhaps quite rather really said same says
  second seem seemed seems seen several shall should since some someone something sometimes soon still such take taken
  talked tell than that that's their them themselves then there these they they're thing things think this those though
  thought three through today together told tomorrow tonight took toward towards tried turned under until upon used very
  want wanted wasn't week went were weren't what whatever when where whether which while whole whom whose will with within
  without won't would year years yesterday your yourself`.split(/\s+/),
);
