/** What `npm run test:fast` leaves out of long tables and random tries. Everything else, `npm test` and single files too, runs all. */
export const isFast = Boolean(process.env.WEBMOE_FAST);

/** Everyday, those of these names. */
export function everyday<C extends { readonly name: string }>(cases: readonly C[], ...names: string[]): readonly C[] {
  const kept = cases.filter((c) => names.includes(c.name));
  if (kept.length !== names.length) throw new Error(`there are no such cases: ${names.join(', ')}`);
  return isFast ? kept : cases;
}

/** Everyday, the first of each kind. */
export function firstOfEach<C>(cases: readonly C[], kind: (c: C) => unknown): readonly C[] {
  const seen = new Map(cases.toReversed().map((c) => [kind(c), c]));
  return isFast ? cases.filter((c) => seen.get(kind(c)) === c) : cases;
}

/** Everyday, one in `n`. */
export const thinned = <C>(cases: readonly C[], n: number): readonly C[] =>
  isFast ? cases.filter((_, i) => i % n === 0) : cases;

/** Everyday, a tenth of the tries. */
export const tries = (n: number): number => (isFast ? Math.ceil(n / 10) : n);
