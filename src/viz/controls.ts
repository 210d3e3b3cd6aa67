/** Controls of a view: its own, and those of the shared selection. */
import { html, nothing, type TemplateResult } from 'lit';
import { tokensOf } from '../trace/trace.ts';
import { tokenName } from './words.ts';
import type { State } from './state.ts';
import type { Axis, Context, Control, View } from './view.ts';

export function controlsView<D, S extends State>(view: View<D, S>, context: Context<S>): TemplateResult {
  const by = typeof view.axes === 'function' ? view.axes(context) : (view.axes ?? []);
  const axes = by.map((axis) => AXES[axis](context as unknown as Context));
  const own = (view.controls?.(context) ?? []).map((control) => controlView(control, context as unknown as Context));
  return axes.length + own.length
    ? html`<div class="controls" role="group" aria-label="Controls">${axes}${own}</div>`
    : html``;
}

function controlView(control: Control, { state, set }: Context): TemplateResult {
  if (control.kind === 'action')
    return html`<button type="button" ?disabled=${control.disabled ?? false} @click=${control.run}>
      ${control.label}
    </button>`;
  const value = state[control.name]!;
  if (control.kind === 'choice')
    return choice(control.label, String(value), control.options, (next) => set({ [control.name]: next }));
  if (control.kind === 'toggle')
    return html`<label class="toggle"
      ><input
        type="checkbox"
        .checked=${value === true}
        @change=${(event: Event) => set({ [control.name]: (event.target as HTMLInputElement).checked })}
      />${control.label}</label
    >`;
  if (control.kind === 'text')
    return html`<label class="text"
      >${control.label}<input
        type="text"
        .value=${String(value)}
        @change=${(event: Event) => set({ [control.name]: (event.target as HTMLInputElement).value })}
    /></label>`;
  const { label, min, max, step, format = String } = control;
  return html`<label class="range"
    >${label}<input
      type="range"
      min=${min}
      max=${max}
      step=${step}
      .value=${String(value)}
      aria-valuetext=${format(Number(value))}
      @input=${(event: Event) => set({ [control.name]: Number((event.target as HTMLInputElement).value) })}
    /><span class="value">${format(Number(value))}</span></label
  >`;
}

function choice(
  label: string,
  value: string,
  options: readonly (readonly [value: string, label: string])[],
  pick: (value: string) => void,
): TemplateResult {
  return html`<label
    >${label}<select @change=${(event: Event) => pick((event.target as HTMLSelectElement).value)}>
      ${options.map(([name, words]) => html`<option value=${name} ?selected=${name === value}>${words}</option>`)}
    </select></label
  >`;
}

const AXES: Readonly<Record<Axis, (context: Context) => TemplateResult | typeof nothing>> = {
  phase: ({ brush, selection }) =>
    choice(
      'Tokens',
      selection.phase ?? '',
      [
        ['', 'prompt and answer'],
        ['prefill', 'prompt'],
        ['decode', 'answer'],
      ],
      (value) => brush.select({ phase: value === 'prefill' || value === 'decode' ? value : null }),
    ),
  chat: ({ brush, selection, trace: { chats } }) =>
    chats && chats.length > 1
      ? choice(
          'Chat',
          selection.chat === null ? '' : String(selection.chat),
          [['', `all ${chats.length}`], ...chats.map(({ name }, i) => [String(i), clipped(name)] as const)],
          (value) => brush.select({ chat: value === '' ? null : Number(value) }),
        )
      : nothing,
  layer: ({ brush, selection, trace: { model } }) =>
    choice(
      'Layer',
      String(selection.layer),
      Array.from({ length: model.layers }, (_, layer) => [String(layer), String(layer)] as const),
      (value) => brush.select({ layer: Number(value), expert: null }),
    ),
  token: ({ brush, selection, trace }) => {
    const last = tokensOf(trace.steps) - 1;
    const token = selection.token ?? last;
    const text = trace.texts?.[token];
    return html`<label class="range"
      >Token<input
        type="range"
        min="0"
        max=${last}
        .value=${String(token)}
        aria-valuetext=${`${token}${text === undefined ? '' : ` ${text}`}`}
        @input=${(event: Event) => brush.select({ token: Number((event.target as HTMLInputElement).value) })}
      /><span class="value">${token}${text === undefined ? '' : ` ${tokenName(text)}`}</span></label
    >`;
  },
};

const CLIPPED = 40;
const clipped = (text: string): string => (text.length > CLIPPED ? `${text.slice(0, CLIPPED - 1)}…` : text);
