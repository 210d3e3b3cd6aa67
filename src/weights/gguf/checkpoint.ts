/**
 * The tensors of a GGUF file, or of its splits, by llama.cpp's names. The experts of a layer lie in one tensor of rank 3, `blk.0.ffn_up_exps.weight`:
 * expert e's matrix is also called `blk.0.ffn_up_exps.e.weight`, and its bias likewise, as if it were stored by itself.
 */
import { InvalidCheckpoint } from '../../errors.ts';
import type { Checkpoint, CheckpointFile, TensorInfo } from '../checkpoint.ts';
import type { DType } from '../safetensors/dtype.ts';
import type { ByteSource } from '../source.ts';
import type { BlockType } from './block-types.ts';
import type { GgufHeader, GgufTensor } from './header.ts';
import { readSplits } from './splits.ts';

/** Types that are numbers as safetensors knows them. */
const PLAIN: ReadonlySet<string> = /* @__PURE__ */ new Set([
  'F32',
  'F16',
  'BF16',
  'F64',
  'I8',
  'I16',
  'I32',
  'I64',
] satisfies DType[]);

const isPlain = ({ name }: BlockType): boolean => PLAIN.has(name);

const EXPERT = /^(blk\.\d+\.ffn_(gate|up|down)_exps)\.(\d{1,4})\.(weight|bias)$/;

/**
 * Reads the header of the file and, where it is the first of several, of the others.
 * @throws InvalidCheckpoint, UnsupportedModel, SourceError
 */
export async function openGguf(source: ByteSource, file: string, signal?: AbortSignal): Promise<Checkpoint> {
  return new GgufCheckpoint(source, await readSplits(source, file, signal));
}

class GgufCheckpoint implements Checkpoint {
  readonly source: ByteSource;
  readonly files: readonly CheckpointFile[];
  readonly warnings: readonly string[];
  readonly #tensors = new Map<string, TensorInfo>();
  readonly #asked = new Set<string>();

  constructor(source: ByteSource, headers: readonly GgufHeader[]) {
    this.source = source;
    this.files = headers.map(({ file, bytes, tensors }) => ({ name: file, bytes, tensors: tensors.size }));
    this.warnings = headers.flatMap((h) => h.warnings);
    for (const { file, tensors } of headers) {
      for (const tensor of tensors.values()) {
        const other = this.#tensors.get(tensor.name);
        if (other)
          throw new InvalidCheckpoint('ambiguous-tensor', `${tensor.name} is in two files: ${other.file} and ${file}`, {
            tensor: tensor.name,
            files: [other.file, file],
          });
        this.#tensors.set(tensor.name, infoOf(tensor, file));
      }
    }
  }

  has(name: string): boolean {
    return this.#find(name) !== null;
  }

  tensor(name: string): TensorInfo {
    const found = this.#find(name);
    if (!found) throw new InvalidCheckpoint('missing-tensor', `The file has no tensor ${name}`, { tensor: name });
    return found;
  }

  #find(name: string): TensorInfo | null {
    const whole = this.#tensors.get(name);
    if (whole) {
      this.#asked.add(name);
      return whole;
    }
    const [, stack, part, expert, kind] = EXPERT.exec(name) ?? [];
    if (stack === undefined) return null;
    const own = this.#slice(`${stack}.${kind}`, name, Number(expert));
    if (own || part === 'down') return own;
    return this.#half(
      stack.replace(`ffn_${part}_exps`, 'ffn_gate_up_exps'),
      { kind: kind!, part: part!, name },
      Number(expert),
    );
  }

  /** The e-th of the equal stretches that a stack consists of. */
  #slice(stackName: string, name: string, e: number): TensorInfo | null {
    const stack = this.#tensors.get(stackName);
    const [experts, ...shape] = stack?.shape ?? [];
    if (!stack || experts === undefined || shape.length === 0 || e >= experts) return null;
    this.#asked.add(stackName);
    const bytes = (stack.end - stack.begin) / experts;
    const block = stack.block && { ...stack.block, shape: stack.block.shape.slice(1) };
    return {
      ...stack,
      name,
      shape,
      begin: stack.begin + e * bytes,
      end: stack.begin + (e + 1) * bytes,
      ...(block && { block }),
    };
  }

  /** Gate is the first half of the rows of a joint matrix, up the second. */
  #half(
    stack: string,
    { kind, part, name }: { kind: string; part: string; name: string },
    e: number,
  ): TensorInfo | null {
    const joint = this.#slice(`${stack}.${kind}`, name, e);
    const [rows = 0, ...rest] = joint?.shape ?? [];
    if (!joint || rows % 2 !== 0) return null;
    const middle = joint.begin + (joint.end - joint.begin) / 2;
    const shape = [rows / 2, ...rest];
    const block = joint.block && { ...joint.block, shape: [rows / 2, ...joint.block.shape.slice(1)] };
    const [begin, end] = part === 'gate' ? [joint.begin, middle] : [middle, joint.end];
    return { ...joint, shape, begin, end, ...(block && { block }) };
  }

  unasked(): string[] {
    return [...this.#tensors.keys()].filter((name) => !this.#asked.has(name));
  }

  leftOver(name: string): TensorInfo | null {
    return this.#asked.has(name) ? null : (this.#tensors.get(name) ?? null);
  }

  names(): IterableIterator<string> {
    return this.#tensors.keys();
  }
}

/** Blocks are bytes to whoever does not know them; `block` says what they are. */
function infoOf({ name, type, shape, begin, end }: GgufTensor, file: string): TensorInfo {
  if (isPlain(type)) return { name, dtype: type.name as DType, shape, file, begin, end };
  const rowBytes = ((shape.at(-1) ?? 0) / type.weights) * type.bytes;
  return {
    name,
    dtype: 'U8',
    shape: [...shape.slice(0, -1), rowBytes],
    file,
    begin,
    end,
    block: { type: type.name, shape },
  };
}
