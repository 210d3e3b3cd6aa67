/** A long picture of small cells on one canvas: tiles are drawn once and kept, a frame only copies those in sight. Panning and zooming stay within a frame whatever the length. */
import { noChange } from 'lit';
import { AsyncDirective } from 'lit/async-directive.js';
import { directive, type ElementPart } from 'lit/directive.js';

/** What is drawn, in cells: columns run on, rows are all there. */
export interface Raster {
  /** Says that tiles drawn before are of something else. */
  readonly key: string;
  readonly columns: number;
  readonly rows: number;
  /** Adds the cells of an area to its levels [height, width], which end at 255; 0 stays empty. */
  readonly paint: (levels: Uint8ClampedArray, width: number, area: Area) => void;
  /** [256], RGBA as a little-endian word, of each level. */
  readonly palette: Uint32Array;
  /** Whether columns `from` to `to` look as they did in an earlier raster with the same key. */
  readonly same: (from: number, to: number, earlier: Raster) => boolean;
  /** Over the cells, in pixels of the page: what is selected, where something begins. */
  readonly over: (context: CanvasRenderingContext2D, view: Viewport) => void;
  readonly width: number;
  readonly height: number;
  /** Brings a column into sight when it changes; null: where it is. */
  readonly focus: number | null;
  /** Starts at the end, and stays there when columns arrive and the end is in sight. */
  readonly follows: boolean;
  readonly point: (column: number, row: number) => void;
  readonly select: (column: number, row: number) => void;
}

/** Columns and rows of a tile, and pixels a cell. A pixel of several cells shows their sum. */
export interface Area {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
  readonly scaleX: number;
  readonly scaleY: number;
}

export interface Viewport {
  /** Column at the left edge and row at the top, with fractions. */
  readonly x: number;
  readonly y: number;
  readonly scaleX: number;
  readonly scaleY: number;
  readonly width: number;
  readonly height: number;
  readonly ink: string;
  readonly paper: string;
}

/** Events that a figure sends to the canvas for its keys; `detail` in pixels, or the factor. */
export const PAN = 'raster-pan';
export const ZOOM = 'raster-zoom';

const TILE = 256;
/** Of a frame's 16 ms, what painting new tiles may take: the rest of the tiles come in the next frames. */
const PAINT_MS = 6;
/** 64 MB. */
const MOST_PIXELS = 16_000_000;
const MIN_X = 1 / 8;
const MAX_SCALE = 16;
const DRAG_PX = 4;

interface Tile {
  readonly canvas: HTMLCanvasElement;
  readonly area: Area;
  /** The last raster that it was seen to be of. */
  of: Raster;
}

class RasterView extends AsyncDirective {
  #canvas: HTMLCanvasElement | null = null;
  #raster!: Raster;
  readonly #tiles = new Map<string, Tile>();
  #frame = 0;
  #x = 0;
  #y = 0;
  #scaleX = 4;
  #scaleY = 1;
  readonly #fingers = new Map<number, PointerEvent>();
  #moved = 0;

  render(raster: Raster): unknown {
    return raster && noChange;
  }

  override update(part: ElementPart, [raster]: [Raster]): unknown {
    const before = this.#raster as Raster | undefined;
    const atEnd = before !== undefined && this.#x >= this.#end(before) - 1;
    this.#raster = raster;
    if (!this.#canvas) this.#attach(part.element as HTMLCanvasElement);
    if (before?.key !== raster.key) this.#restart();
    else if (raster.follows && atEnd) this.#x = this.#end(raster);
    if (raster.focus !== null && raster.focus !== before?.focus) this.#show(raster.focus);
    this.#resize();
    this.#draw();
    return noChange;
  }

  protected override disconnected(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#tiles.clear();
  }

  protected override reconnected(): void {
    this.#draw();
  }

  /** All rows in sight, columns wide enough to see. */
  #restart(): void {
    const { rows, columns, height, width, follows } = this.#raster;
    this.#tiles.clear();
    this.#scaleY = Math.min(MAX_SCALE, height / rows);
    this.#scaleX = Math.min(MAX_SCALE, Math.max(2, width / columns));
    this.#y = 0;
    this.#x = follows ? this.#end(this.#raster) : 0;
  }

  #end({ columns, width }: Raster): number {
    return Math.max(0, columns - width / this.#scaleX);
  }

  #show(column: number): void {
    const seen = this.#raster.width / this.#scaleX;
    if (column < this.#x || column >= this.#x + seen) this.#x = column - seen / 2;
  }

  #attach(canvas: HTMLCanvasElement): void {
    this.#canvas = canvas;
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener(PAN, ({ detail }) => this.#pan(detail, 0));
    canvas.addEventListener(ZOOM, ({ detail }) => this.#zoom(detail, this.#raster.width / 2, this.#raster.height / 2));
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#fingers.set(event.pointerId, event);
      this.#moved = 0;
    });
    canvas.addEventListener('pointermove', (event) => this.#drag(event));
    for (const end of ['pointerup', 'pointercancel'] as const)
      canvas.addEventListener(end, (event) => {
        const wasDown = this.#fingers.delete(event.pointerId);
        if (end === 'pointerup' && wasDown && this.#moved < DRAG_PX) this.#at(event, this.#raster.select);
      });
  }

  #at(event: PointerEvent, tell: (column: number, row: number) => void): void {
    const { columns, rows } = this.#raster;
    const column = Math.floor(this.#x + event.offsetX / this.#scaleX);
    const row = Math.floor(this.#y + event.offsetY / this.#scaleY);
    if (column >= 0 && row >= 0 && column < columns && row < rows) tell(column, row);
  }

  /** A mouse has one wheel, and time runs across: what cannot go down goes on. At an end the page scrolls instead. */
  #wheel(event: WheelEvent): void {
    const { rows, height } = this.#raster;
    const isFlat = event.shiftKey || rows * this.#scaleY <= height + 1;
    const moved =
      event.ctrlKey || event.metaKey
        ? this.#zoom(Math.exp(-event.deltaY / 200), event.offsetX, event.offsetY)
        : this.#pan(isFlat ? event.deltaX + event.deltaY : event.deltaX, isFlat ? 0 : event.deltaY);
    if (moved) event.preventDefault();
  }

  #drag(event: PointerEvent): void {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return this.#at(event, this.#raster.point);
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    this.#moved += Math.abs(dx) + Math.abs(dy);
    const other = [...this.#fingers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    const distance = (a: PointerEvent, b: PointerEvent): number =>
      Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    this.#fingers.set(event.pointerId, event);
    if (other) this.#zoom(distance(event, other) / Math.max(1, distance(before, other)), event.offsetX, event.offsetY);
    else this.#pan(-dx, -dy);
  }

  /** By pixels. @returns false at the end, where there is no more */
  #pan(dx: number, dy: number): boolean {
    const [x, y] = [this.#x, this.#y];
    this.#x += dx / this.#scaleX;
    this.#y += dy / this.#scaleY;
    this.#clamp();
    this.#draw();
    return x !== this.#x || y !== this.#y;
  }

  #clamp(): void {
    const { height, rows } = this.#raster;
    this.#x = Math.min(this.#end(this.#raster), Math.max(0, this.#x));
    this.#y = Math.min(Math.max(0, rows - height / this.#scaleY), Math.max(0, this.#y));
  }

  /** Keeps the point under (x, y) where it is. */
  #zoom(by: number, x: number, y: number): boolean {
    const { height, rows } = this.#raster;
    const [column, row] = [this.#x + x / this.#scaleX, this.#y + y / this.#scaleY];
    this.#scaleX = Math.min(MAX_SCALE, Math.max(MIN_X, this.#scaleX * by));
    this.#scaleY = Math.min(MAX_SCALE, Math.max(Math.min(1, height / rows), this.#scaleY * by));
    this.#x = column - x / this.#scaleX;
    this.#y = row - y / this.#scaleY;
    this.#clamp();
    this.#draw();
    return true;
  }

  #resize(): void {
    const { width, height } = this.#raster;
    const canvas = this.#canvas!;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    // Size by the object model: a page may forbid style attributes.
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }

  #draw(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  /** Tiles exist at powers of two of the scale, below the one shown: a zoom stretches them by less than two and then draws them anew. */
  #paint(): void {
    const { width, height, rows, columns, over } = this.#raster;
    this.#clamp();
    const context = this.#canvas!.getContext('2d')!;
    const ratio = this.#canvas!.width / width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { color: ink, backgroundColor: paper } = getComputedStyle(this.#canvas!);
    context.fillStyle = paper;
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    const [x, y, scaleX, scaleY] = [this.#x, this.#y, this.#scaleX, this.#scaleY];
    const [wide, tall] = [TILE / levelOf(scaleX), TILE / levelOf(scaleY)];
    const [right, bottom] = [Math.min(columns, x + width / scaleX), Math.min(rows, y + height / scaleY)];
    const until = performance.now() + PAINT_MS;
    let late = false;
    for (let from = Math.floor(x / wide) * wide; from < right; from += wide)
      for (let top = Math.floor(y / tall) * tall; top < bottom; top += tall) {
        const area = { from, to: Math.min(columns, from + wide), top, bottom: Math.min(rows, top + tall) };
        const tile = this.#tile({ ...area, scaleX: levelOf(scaleX), scaleY: levelOf(scaleY) }, until);
        late ||= !tile;
        if (tile) this.#copy(context, tile);
      }
    over(context, { x, y, scaleX, scaleY, width, height, ink, paper });
    if (late) this.#draw();
  }

  #copy(context: CanvasRenderingContext2D, { canvas, area }: Tile): void {
    context.drawImage(
      canvas,
      (area.from - this.#x) * this.#scaleX,
      (area.top - this.#y) * this.#scaleY,
      (canvas.width / area.scaleX) * this.#scaleX,
      (canvas.height / area.scaleY) * this.#scaleY,
    );
  }

  /** null: no time for it in this frame. */
  #tile(area: Area, until: number): Tile | null {
    const raster = this.#raster;
    const { from, to, top, scaleX, scaleY } = area;
    const key = `${from} ${top} ${scaleX} ${scaleY}`;
    const known = this.#tiles.get(key);
    if (known && (known.of === raster || (known.area.to === to && raster.same(from, to, known.of)))) {
      known.of = raster;
      return known;
    }
    if (performance.now() > until) return null;
    const tile = { canvas: painted(raster, area), area, of: raster };
    this.#keep(key, tile);
    return tile;
  }

  #keep(key: string, tile: Tile): void {
    this.#tiles.delete(key);
    this.#tiles.set(key, tile);
    const [oldest] = this.#tiles.keys();
    if (this.#tiles.size > MOST_PIXELS / TILE ** 2) this.#tiles.delete(oldest!);
  }
}

function painted({ paint, palette }: Raster, area: Area): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = Math.ceil((area.to - area.from) * area.scaleX);
  canvas.height = Math.ceil((area.bottom - area.top) * area.scaleY);
  const levels = new Uint8ClampedArray(canvas.width * canvas.height);
  paint(levels, canvas.width, area);
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < levels.length; i++) pixels[i] = palette[levels[i]!]!;
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  return canvas;
}

const levelOf = (scale: number): number => 2 ** Math.floor(Math.log2(scale));

declare global {
  interface HTMLElementEventMap {
    [PAN]: CustomEvent<number>;
    [ZOOM]: CustomEvent<number>;
  }
}

export const raster = directive(RasterView);
