import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';

/**
 * Of each expert, the first `capacity` tokens of the step that chose it keep their weight; that of the others becomes 0.
 * @param routed [T, 2]: id, then weight, where each token is sent to one expert
 */
export function dropLate(
  recorder: Recorder,
  label: string,
  { routed }: { readonly routed: BufferView },
  { capacity }: { readonly capacity: number },
): void {
  recorder.dispatch({
    shader: 'moe/drop_late',
    label,
    constants: { CAPACITY: capacity },
    bindings: { routed },
    grid: ({ tokens }) => [ceilDiv(tokens, 64), 1, 1],
  });
}
