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

/** A stand-alone file: what the style sheet says is written into each element. */
export function svgFile(figure: SVGSVGElement, background: string): string {
  const copy = figure.cloneNode(true) as SVGSVGElement;
  const styled = [figure, ...figure.querySelectorAll<SVGElement>('*')];
  const written = [copy, ...copy.querySelectorAll<SVGElement>('*')];
  written.forEach((element, i) => {
    const computed = getComputedStyle(styled[i]!);
    element.removeAttribute('class');
    element.setAttribute('style', INLINED.map((name) => `${name}:${computed.getPropertyValue(name)}`).join(';'));
  });
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  const paper = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [name, value] of Object.entries({ width: '100%', height: '100%', fill: background }))
    paper.setAttribute(name, value);
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy);
}

/** Twice as many pixels as on the page, for print. */
const PNG_SCALE = 2;

export async function pngFile(figure: SVGSVGElement | HTMLCanvasElement, background: string): Promise<Blob> {
  const canvas = figure instanceof HTMLCanvasElement ? figure : await painted(figure, background);
  return new Promise((done, fail) =>
    canvas.toBlob(
      (blob) => (blob ? done(blob) : fail(new Error('the browser made no PNG of this figure'))),
      'image/png',
    ),
  );
}

async function painted(figure: SVGSVGElement, background: string): Promise<HTMLCanvasElement> {
  const url = URL.createObjectURL(new Blob([svgFile(figure, background)], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = PNG_SCALE * figure.width.baseVal.value;
    canvas.height = PNG_SCALE * figure.height.baseVal.value;
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
