/** A quantization_config is read once, however many modules ask about it. */
import type { Json } from '../../config/read.ts';

export function cached<T>(read: (quantization: Json) => T): (quantization: Json) => T {
  const known = new WeakMap<object, T>();
  return (quantization) => {
    if (quantization === null || typeof quantization !== 'object') return read(quantization);
    let found = known.get(quantization);
    if (found === undefined) known.set(quantization, (found = read(quantization)));
    return found;
  };
}
