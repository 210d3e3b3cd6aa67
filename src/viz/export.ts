/** Figures as files. */

/** Properties that a figure's elements take from the style sheet; a file has none. */
const INLINED = [
  'fill',
  'fill-opacity',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'stroke-opacity',
  'stroke-linejoin',
  'opacity',
  'font-family',
  'font-size',
  'font-weight',
  'text-anchor',
  'dominant-baseline',
  'image-rendering',
] as const;

/** Stand-alone copy of a figure: what the style sheet says is written into each element. */
function written(figure: SVGSVGElement): SVGSVGElement {
  const copy = figure.cloneNode(true) as SVGSVGElement;
  const styled = [figure, ...figure.querySelectorAll<SVGElement>('*')];
  [copy, ...copy.querySelectorAll<SVGElement>('*')].forEach((element, i) => {
    const computed = getComputedStyle(styled[i]!);
    element.removeAttribute('class');
    // As attributes: a strict policy forbids style attributes also on what no page shows.
    for (const name of INLINED) element.setAttribute(name, computed.getPropertyValue(name));
  });
  return copy;
}

interface Picture {
  readonly text: string;
  readonly width: number;
  readonly height: number;
}

/** All figures of a view, as they lie beside each other on the page, in one file. */
export function svgFile(figures: readonly SVGSVGElement[], background: string): Picture {
  const boxes = figures.map((figure) => figure.getBoundingClientRect());
  const [left, top] = [Math.min(...boxes.map((b) => b.left)), Math.min(...boxes.map((b) => b.top))];
  const width = Math.ceil(Math.max(...boxes.map((b) => b.right)) - left);
  const height = Math.ceil(Math.max(...boxes.map((b) => b.bottom)) - top);
  const make = (tag: string, attributes: Readonly<Record<string, string | number>>): SVGElement => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    return element;
  };
  const file = make('svg', { width, height, viewBox: `0 0 ${width} ${height}` });
  file.append(make('rect', { width: '100%', height: '100%', fill: background }));
  figures.forEach((figure, i) => {
    const copy = written(figure);
    copy.setAttribute('x', String(boxes[i]!.left - left));
    copy.setAttribute('y', String(boxes[i]!.top - top));
    file.append(copy);
  });
  return { text: new XMLSerializer().serializeToString(file), width, height };
}

/** Twice as many pixels as on the page, for print. */
const PNG_SCALE = 2;

export async function pngFile(figure: Picture | HTMLCanvasElement): Promise<Blob> {
  const canvas = figure instanceof HTMLCanvasElement ? figure : await painted(figure);
  return new Promise((done, fail) =>
    canvas.toBlob(
      (blob) => (blob ? done(blob) : fail(new Error('the browser made no PNG of this figure'))),
      'image/png',
    ),
  );
}

async function painted({ text, width, height }: Picture): Promise<HTMLCanvasElement> {
  const url = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = PNG_SCALE * width;
    canvas.height = PNG_SCALE * height;
    canvas.getContext('2d')!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

export function save(name: string, content: Blob | string, type = 'text/plain'): void {
  const url = URL.createObjectURL(typeof content === 'string' ? new Blob([content], { type }) : content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
