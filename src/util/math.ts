export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);
export const alignUp = (n: number, to: number): number => Math.ceil(n / to) * to;
export const sum = (values: Iterable<number>): number => {
  let total = 0;
  for (const v of values) total += v;
  return total;
};
