/** The arrays of a .npz archive. */
import { InvalidTrace } from '../errors.ts';
import { decodeNpy, type NpyArray, type NpyType } from './npy.ts';
import { readZip } from './zip.ts';

/** Reads members by name, each held to its type and shape. */
export class Members {
  readonly #members: ReadonlyMap<string, Uint8Array>;
  readonly #file: string;

  constructor(bytes: Uint8Array, file: string) {
    this.#members = readZip(bytes, file);
    this.#file = file;
  }

  /** @param shape null: any length along that axis */
  optional(name: string, types: readonly NpyType[], shape: readonly (number | null)[]): NpyArray | null {
    const found = this.#members.get(`${name}.npy`);
    if (!found) return null;
    const array = decodeNpy(found, `${this.#file}: ${name}`);
    const fits = array.shape.length === shape.length && shape.every((n, axis) => n === null || n === array.shape[axis]);
    if (!fits || !types.includes(array.type))
      throw new InvalidTrace(
        `${this.#file}: ${name} must be ${types.join(' or ')} [${shape.map((n) => n ?? 'any').join(', ')}]`,
        { file: this.#file, name },
      );
    return array;
  }

  array(name: string, types: readonly NpyType[], shape: readonly (number | null)[]): NpyArray {
    const found = this.optional(name, types, shape);
    if (!found) throw new InvalidTrace(`${this.#file} has no ${name}: it is damaged`, { file: this.#file, name });
    return found;
  }
}
