export interface Loop {
  readonly begin: number;
  readonly end: number;
}
export function loopsOf(listing: string): Loop[];
export function turnOf(loops: readonly Loop[], trips: readonly number[]): number;
