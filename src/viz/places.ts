/** Where an expert can be, from far to near. */
export const PLACES = ['not kept', 'on disk', 'in memory', 'loading', 'on the card'] as const;

/** A live engine's, from the page; the property `residency` of the element. */
export interface Residency {
  /** [L, E], index into PLACES. */
  readonly state: Uint8Array;
}
