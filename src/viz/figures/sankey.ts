/** Flow between columns of nodes, laid out by d3-sankey (Sankey 1898; Bostock). Widths are tokens, colours say how far that is from chance. */
import { sankey, type SankeyLink, type SankeyNode } from 'd3-sankey';
import { svg, type TemplateResult } from 'lit';
import { css, type Ramp } from '../ramps.ts';
import { svgFrame } from './frame.ts';
import { rampBar } from './ramp-bar.ts';

export interface FlowNode {
  readonly column: number;
  readonly label: string;
  readonly isSelected: boolean;
}

export interface FlowLink {
  /** Indices of nodes. */
  readonly source: number;
  readonly target: number;
  readonly value: number;
  /** In [0, 1], for the ramp. */
  readonly colour: number;
}

export interface SankeyFigure {
  readonly label: string;
  readonly columns: readonly string[];
  readonly nodes: readonly FlowNode[];
  readonly links: readonly FlowLink[];
  readonly ramp: Ramp;
  /** What the ends and the middle of the ramp mean. */
  readonly legend: readonly [low: string, middle: string, high: string];
  readonly describe: (link: number) => string;
  readonly width: number;
  readonly say: (text: string) => void;
  readonly select: (node: number) => void;
  /** The link under the cursor. */
  readonly cursor: number | null;
  readonly moveTo: (link: number) => void;
}

const TOP = 24;
const LEGEND = 34;
const NODE = 12;
/** Room for the labels of the last column. */
const RIGHT = 44;
const LEAST_STEP = 110;

type Node = SankeyNode<FlowNode & { readonly at: number }, FlowLink & { readonly at: number }>;
type Link = SankeyLink<FlowNode & { readonly at: number }, FlowLink & { readonly at: number }>;

function layout(
  { nodes, links, columns }: SankeyFigure,
  width: number,
  height: number,
): { nodes: Node[]; links: Link[] } {
  const make = sankey<FlowNode & { at: number }, FlowLink & { at: number }>()
    .nodeWidth(NODE)
    .nodePadding(Math.max(2, Math.min(8, 300 / nodes.length)))
    .nodeAlign((node) => Math.min(columns.length - 1, node.column))
    .extent([
      [1, TOP],
      [width - RIGHT, TOP + height],
    ]);
  return make({ nodes: nodes.map((n, at) => ({ ...n, at })), links: links.map((l, at) => ({ ...l, at })) });
}

/** A cubic curve that leaves and arrives level. */
function ribbon({ source, target, y0 = 0, y1 = 0 }: Link): string {
  const [from, to] = [(source as Node).x1!, (target as Node).x0!];
  const middle = (from + to) / 2;
  return `M${from} ${y0}C${middle} ${y0} ${middle} ${y1} ${to} ${y1}`;
}

export function sankeyView(figure: SankeyFigure): TemplateResult {
  const { columns, links, ramp, cursor, describe, moveTo, say, select } = figure;
  const width = Math.max(figure.width, RIGHT + LEAST_STEP * (columns.length - 1));
  const height = Math.min(
    560,
    Math.max(220, 16 * Math.max(...columns.map((_, c) => figure.nodes.filter((n) => n.column === c).length))),
  );
  const placed = layout(figure, width, height);
  const all = TOP + height + LEGEND;
  const keys = (event: KeyboardEvent): void => {
    const from = cursor ?? -1;
    const back = event.key === 'ArrowLeft' || event.key === 'ArrowUp';
    const to =
      back || event.key === 'ArrowRight' || event.key === 'ArrowDown'
        ? from + (back ? -1 : 1)
        : { Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined || links.length === 0) return;
    event.preventDefault();
    const link = Math.min(links.length - 1, Math.max(0, to));
    moveTo(link);
    say(describe(link));
  };
  const hint = 'Arrow keys move from link to link, the widest first.';
  return svgFrame(
    { kind: 'flow chart', label: figure.label, hint, width, height: all, keys },
    svg`${placed.links.map(
      (link) =>
        svg`<path class="flow ${link.at === cursor ? 'chosen' : ''}" d=${ribbon(link)} stroke=${css(ramp(link.colour))}
            stroke-width=${Math.max(1, link.width ?? 1)} @pointermove=${() => say(describe(link.at))} @click=${() => moveTo(link.at)}></path>`,
    )}
      ${placed.nodes.map((node) => nodeView(node, select))}
      ${columns.map((name, c) => {
        const isLast = c === columns.length - 1;
        const x = isLast ? width - 1 : 1 + (c * (width - RIGHT - NODE - 1)) / (columns.length - 1);
        return svg`<text class="axis" x=${x} y="12" text-anchor=${isLast ? 'end' : 'start'}>${name}</text>`;
      })}
      ${legendView(figure, all - 22)}`,
  );
}

const nodeView = (
  { x0 = 0, x1 = 0, y0 = 0, y1 = 0, label, at, isSelected }: Node,
  select: (at: number) => void,
): unknown =>
  svg`<g class="node" @click=${() => select(at)}>
    <rect class="key ${isSelected ? 'cursor' : ''}" x=${x0} y=${y0} width=${x1 - x0} height=${Math.max(1, y1 - y0)}></rect>
    ${y1 - y0 > 7 ? svg`<text x=${x1 + 4} y=${(y0 + y1) / 2} dominant-baseline="central">${label}</text>` : null}
  </g>`;

function legendView({ ramp, legend }: SankeyFigure, top: number): unknown {
  const bar = 200;
  return svg`${rampBar(ramp, 1, top, bar)}${legend.map(
    (words, i) =>
      svg`<text class="tick" x=${1 + (i * bar) / 2} y=${top + 20} text-anchor=${['start', 'middle', 'end'][i]!}>${words}</text>`,
  )}`;
}
