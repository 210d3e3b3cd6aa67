/** Tokens with the words around them, to click on. What they read is a stranger's text: it goes through bindings only. */
import { html, nothing, type TemplateResult } from 'lit';
import type { Trace } from '../../trace/trace.ts';
import type { Brush } from '../brush.ts';
import { count, tokenName } from '../words.ts';

export interface TokenList {
  /** What they have in common. */
  readonly title: string;
  readonly tokens: readonly number[];
  readonly trace: Trace;
  readonly brush: Brush;
}

const SHOWN = 12;
const AROUND = 4;

export function tokenListView({ title, tokens, trace: { texts }, brush }: TokenList): TemplateResult {
  const words = (from: number, to: number): string =>
    (texts ?? []).slice(Math.max(0, from), to).join('').replaceAll('\n', '↵');
  return html`<div class="tokens">
    <p>${title}: ${count(tokens.length, 'token')}${tokens.length > SHOWN ? `, the first ${SHOWN} of them` : ''}.</p>
    <ul>
      ${tokens.slice(0, SHOWN).map(
        (token) =>
          html`<li>
            <button type="button" @click=${() => brush.select({ token })}>${token}</button>
            ${
              texts
                ? html`<span class="context"
                    >${words(token - AROUND, token)}<mark>${tokenName(texts[token]!)}</mark>${words(
                      token + 1,
                      token + 1 + AROUND,
                    )}</span
                  >`
                : nothing
            }
          </li>`,
      )}
    </ul>
  </div>`;
}
