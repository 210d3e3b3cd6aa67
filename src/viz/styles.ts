/** One style sheet for all views. A page sets `color-scheme` and, if it likes, the --moe- properties. */
import { css } from 'lit';

export const styles = css`
  :host {
    display: block;
    container-type: inline-size;
    --text: var(--moe-text, light-dark(#1d1c1a, #e9e7e2));
    --muted: var(--moe-muted, light-dark(#5f5c55, #aaa79f));
    --line: var(--moe-line, light-dark(#dedbd4, #363937));
    --surface: var(--moe-surface, light-dark(#ffffff, #1e201f));
    --raised: var(--moe-raised, light-dark(#f1efeb, #282a29));
    --accent: var(--moe-accent, light-dark(#0f6b5c, #7fcdb8));
    --band: var(--moe-band, light-dark(#1d1c1a1f, #ffffff26));
    color: var(--text);
    font: 0.875rem/1.5 var(--moe-font, system-ui, sans-serif);
  }
  :host([hidden]) {
    display: none;
  }
  section {
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: 12px;
    padding: 14px 15px;
    overflow-wrap: anywhere;
  }
  header {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 12px;
    align-items: baseline;
    justify-content: space-between;
  }
  h3 {
    margin: 0;
    font-size: 1.0625rem;
    line-height: 1.3;
    letter-spacing: -0.01em;
    text-wrap: balance;
  }
  p {
    margin: 0.35em 0 0;
  }
  .reading,
  .summary,
  output {
    color: var(--muted);
  }
  .badge {
    border: 1px solid currentcolor;
    border-radius: 99px;
    padding: 0 8px;
    font-size: 0.75rem;
    color: var(--muted);
    white-space: nowrap;
  }
  .badge.live {
    color: var(--accent);
  }
  .badge.simulation {
    border-style: dashed;
    color: light-dark(#8a4b00, #ffb366);
  }
  .controls {
    display: flex;
    flex-wrap: wrap;
    gap: 6px 16px;
    margin-top: 10px;
    align-items: center;
  }
  label {
    display: inline-flex;
    gap: 6px;
    align-items: center;
    color: var(--muted);
    max-width: 100%;
    white-space: nowrap;
  }
  label select {
    min-width: 0;
    text-overflow: ellipsis;
  }
  label.text,
  label.text input {
    flex: 1 1 18rem;
    min-width: 0;
    white-space: nowrap;
  }
  h4 {
    margin: 0.4em 0 0;
  }
  blockquote {
    margin: 0.3em 0 0.6em;
    padding: 0.1em 0 0.1em 0.8em;
    border-left: 3px solid var(--line);
    white-space: pre-wrap;
  }
  .value {
    color: var(--text);
    font-variant-numeric: tabular-nums;
    min-width: 3ch;
  }
  select,
  button,
  input[type='text'],
  input[type='number'] {
    font: inherit;
    color: var(--text);
    background: var(--raised);
    border: 1px solid var(--line);
    border-radius: 8px;
    padding: 3px 9px;
    min-height: 30px;
    max-width: 100%;
  }
  button {
    cursor: pointer;
  }
  button:disabled {
    opacity: 0.5;
    cursor: default;
  }
  button[aria-pressed='true'] {
    border-color: var(--accent);
    color: var(--accent);
  }
  input[type='range'] {
    accent-color: var(--accent);
    width: 140px;
    flex-shrink: 1;
    min-width: 60px;
  }
  input[type='checkbox'] {
    accent-color: var(--accent);
    width: 18px;
    height: 18px;
    margin: 0;
  }
  :is(select, button, input, summary, .matrix, .plot, .table, [tabindex]):focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  .body {
    margin-top: 12px;
    overflow: auto;
    max-height: var(--moe-figure-height, none);
  }
  .several {
    margin-top: 8px;
    display: grid;
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr));
    gap: 10px 16px;
  }
  .several.two {
    grid-template-columns: repeat(auto-fill, minmax(min(100%, max(270px, 50% - 8px)), 1fr));
  }
  .several > * {
    min-width: 0;
  }
  .several p,
  .note {
    color: var(--muted);
    font-size: 0.8125rem;
  }
  .text {
    white-space: pre-wrap;
  }
  .text s {
    color: light-dark(#8a4b00, #ffb366);
  }
  .tokens ul {
    list-style: none;
    margin: 6px 0 0;
    padding: 0;
  }
  .tokens li {
    display: flex;
    gap: 8px;
    align-items: baseline;
    margin: 3px 0;
  }
  .tokens button {
    flex: none;
    min-width: 3.5em;
    font-variant-numeric: tabular-nums;
  }
  .context {
    white-space: pre-wrap;
    overflow-wrap: anywhere;
    min-width: 0;
  }
  code {
    font:
      0.92em ui-monospace,
      monospace;
    background: var(--raised);
    border-radius: 4px;
    padding: 1px 4px;
  }
  mark {
    background: var(--band);
    color: inherit;
    border-radius: 3px;
    padding: 0 2px;
    font-weight: 600;
  }
  .empty {
    border: 1px dashed var(--line);
    border-radius: 10px;
    padding: 22px 16px;
    text-align: center;
    color: var(--muted);
  }
  output {
    display: block;
    min-height: 1.5em;
    margin-top: 4px;
    font-variant-numeric: tabular-nums;
  }
  footer {
    display: flex;
    flex-wrap: wrap;
    gap: 8px 16px;
    justify-content: space-between;
    align-items: flex-start;
    margin-top: 8px;
  }
  details {
    flex: 1 1 16rem;
    color: var(--muted);
  }
  summary {
    cursor: pointer;
    padding: 4px 0;
  }
  .tools {
    display: flex;
    flex-wrap: wrap;
    gap: 4px;
  }
  .table {
    max-height: 24rem;
    overflow: auto;
  }
  table {
    border-collapse: collapse;
    font-variant-numeric: tabular-nums;
    width: 100%;
  }
  caption {
    text-align: left;
    color: var(--muted);
    padding-bottom: 6px;
  }
  th,
  td {
    padding: 3px 10px 3px 0;
    border-bottom: 1px solid var(--line);
    text-align: left;
    white-space: pre-wrap;
    overflow-wrap: break-word;
  }
  .number {
    text-align: right;
  }
  td.number {
    white-space: nowrap;
  }
  .body > .figure + *,
  .body > * + .table {
    margin-top: 10px;
  }
  .figure {
    display: block;
    max-width: none;
  }
  svg text {
    fill: var(--text);
    font-size: 11px;
    font-family: inherit;
  }
  svg .tick,
  svg .axis {
    fill: var(--muted);
  }
  svg .hit {
    fill: transparent;
  }
  svg .point {
    stroke: var(--muted);
    stroke-width: 0.75px;
  }
  svg .on-dark {
    fill: #ffffff;
  }
  svg .on-light {
    fill: #000000;
  }
  svg .frame {
    fill: none;
    stroke: var(--line);
  }
  svg .grid {
    stroke: var(--line);
  }
  svg .band {
    fill: var(--band);
  }
  svg .line {
    fill: none;
    stroke-width: 2;
    stroke-linejoin: round;
  }
  svg .dashed {
    stroke-dasharray: 5 4;
  }
  svg .line:not([stroke]) {
    stroke: var(--accent);
  }
  svg :is(.bar, .dot, .key):not([fill]) {
    fill: var(--accent);
  }
  svg .mark {
    fill: none;
    stroke: var(--text);
  }
  svg line.mark {
    stroke-dasharray: 3 3;
    stroke: var(--muted);
  }
  svg .cursor {
    fill: none;
    stroke: light-dark(#d55e00, #ffb366);
    stroke-width: 2;
  }
  svg .at {
    fill: var(--surface);
    stroke: light-dark(#d55e00, #ffb366);
    stroke-width: 2;
  }
  svg .flow {
    fill: none;
    opacity: 0.75;
  }
  svg .flow:hover,
  svg .flow.chosen {
    opacity: 1;
  }
  svg .flow.chosen {
    stroke: light-dark(#d55e00, #ffb366);
  }
  svg .node {
    cursor: pointer;
  }
  svg polyline.path {
    stroke-width: 2;
  }
  svg .path {
    fill: none;
    stroke-linecap: round;
    stroke-linejoin: round;
    opacity: 0.85;
  }
  .strip .token {
    cursor: pointer;
  }
  .strip .back {
    fill: transparent;
  }
  .strip .token:hover .back {
    fill: var(--raised);
  }
  .strip .on .back {
    fill: var(--raised);
    stroke: light-dark(#d55e00, #ffb366);
    stroke-width: 2;
  }
  .strip .pinned .back {
    stroke: var(--accent);
    stroke-width: 2;
    stroke-dasharray: 4 2;
  }
  .strip .word {
    font-size: 13px;
    white-space: pre;
  }
  .strip .dropped .word {
    text-decoration: line-through;
    fill: var(--muted);
  }
  .strip .number {
    font-size: 9.5px;
    fill: #000000;
  }
  .strip .light {
    fill: #ffffff;
  }
  .raster {
    background: var(--surface);
    color: var(--text);
    touch-action: pan-y;
    cursor: crosshair;
  }
  .card-title {
    font-size: 1.25rem;
    font-weight: 600;
  }
  .chips {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 14px;
    margin: 6px 0 0;
    padding: 0;
    list-style: none;
  }
`;
