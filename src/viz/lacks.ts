/** What a trace lacks for a view, and how to get it. */
import { rowsOf } from '../trace/stats/select.ts';
import type { Trace } from '../trace/trace.ts';
import type { Context } from './view.ts';

export const lacksLogits = ({ logits, scoring }: Trace): string | null =>
  logits && scoring
    ? null
    : 'This trace has no router logits. Record it with `webmoe trace record --logits`, or let a model answer here with routing at level “logits”.';

export const lacksTexts = ({ texts }: Trace): string | null =>
  texts
    ? null
    : 'This trace has no token texts. Record it with `webmoe trace record` on a model with a tokenizer, or let a model answer here.';

/** Of what is selected. */
export const lacksTokens = (trace: Trace, { part }: Pick<Context, 'part'>): string | null =>
  rowsOf(trace, part).length > 0
    ? null
    : 'No token of this trace is in the selection. Choose other tokens or another chat.';
