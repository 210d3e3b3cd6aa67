/** The engine's model as what chat completions need. */
import type { ChatSource } from '../../src/chat/source.ts';
import type { Model } from '../../src/engine/model.ts';

export const chatSource = (model: Model, id = 'fixture'): ChatSource => ({
  id,
  contextLength: model.plan.contextLength,
  templateText: model.text?.template?.source ?? null,
  generate: (prompt, options) => model.generate(prompt, options),
});
