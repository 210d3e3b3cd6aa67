/** A live engine's, from the page; the property `residency` of the element. */
export interface Residency {
  /** [L, E], index into PLACES of webmoe/trace. */
  readonly state: Uint8Array;
}
