/** Where the residual stream is between layers. */
import type { ModelConfig } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';

interface Residuals {
  readonly residualA: BufferView;
  readonly residualB: BufferView;
}

/** The two buffers that it goes between, in front of layer i: where it is, and the other. A layer of one part leaves it in the other. */
export function residualSides(
  { layers }: ModelConfig,
  { residualA, residualB }: Residuals,
  i: number,
): readonly [BufferView, BufferView] {
  const turns = layers.slice(0, i).filter(({ ffn }) => ffn.kind === 'none').length;
  return turns % 2 === 0 ? [residualA, residualB] : [residualB, residualA];
}

/** Behind the last layer. */
export const finalResidual = (config: ModelConfig, of: Residuals): BufferView =>
  residualSides(config, of, config.layers.length)[0];
