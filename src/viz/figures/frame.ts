/** What a drawn figure sits in: an element that takes keys and says what it is, and the SVG that exports take. */
import { html, nothing, svg, type TemplateResult } from 'lit';

export interface SvgFrame {
  /** What screen readers call it. */
  readonly kind: 'chart' | 'map' | 'flow chart' | 'matrix';
  readonly label: string;
  /** Which keys do what, as a sentence. */
  readonly hint: string;
  readonly width: number;
  readonly height: number;
  readonly keys: (event: KeyboardEvent) => void;
  /** Of the whole surface; default: parts of the content have handlers of their own. */
  readonly surface?: {
    readonly point: (event: PointerEvent) => void;
    readonly pick: (event: PointerEvent) => void;
  };
}

export function svgFrame(
  { kind, label, hint, width, height, keys, surface }: SvgFrame,
  content: unknown,
): TemplateResult {
  return html`<div
    class=${kind === 'matrix' ? 'matrix' : 'plot'}
    tabindex="0"
    role="application"
    aria-roledescription=${kind}
    aria-label="${label}. ${hint}"
    @keydown=${keys}
  >
    <svg
      class="figure"
      width=${width}
      height=${height}
      viewBox="0 0 ${width} ${height}"
      @pointermove=${surface?.point ?? nothing}
      @click=${surface?.pick ?? nothing}
    >
      <title>${label}</title>
      ${surface && svg`<rect class="hit" width=${width} height=${height}></rect>`} ${content}
    </svg>
  </div>`;
}
