/** A loaded model as what chat completions need. */
import type { Model } from '../engine/model.ts';
import type { ChatSource } from './source.ts';

/** @param id what answers carry as `model` */
export const modelSource = (model: Model, id: string): ChatSource => ({
  id,
  contextLength: model.plan.contextLength,
  templateText: model.text?.template?.source ?? null,
  generate: (prompt, options) => model.generate(prompt, options),
});
