// Owns drawing without graphics hardware: grey values through the window into a canvas, placed by the same matrix.

import type { Decoded } from "../decoding/form";
import { place } from "../placement";
import { rangeOf } from "../windows";
import type { Levels } from "../windows";
import { sizeOf } from "./surface";
import type { Drawing, Surface } from "./surface";

export class CanvasSurface implements Surface {
  private readonly canvas = document.createElement("canvas");
  private readonly pen = this.canvas.getContext("2d");
  private readonly bitmap = document.createElement("canvas");
  private drawn: { readonly decoded: Decoded; readonly levels: Levels; readonly isInverse: boolean } | null = null;

  constructor(private readonly element: HTMLElement) {
    this.canvas.className = "reader-canvas";
    element.append(this.canvas);
    this.resize();
  }

  draw({ decoded, levels, isInverse, flat, camera }: Drawing): void {
    const { drawn } = this;
    const isSame = drawn?.decoded === decoded && drawn.isInverse === isInverse && drawn.levels[0] === levels[0] && drawn.levels[1] === levels[1];
    if (!isSame) {
      paint(this.bitmap, decoded, levels, isInverse);
      this.drawn = { decoded, levels, isInverse };
    }
    const { pen } = this;
    if (!pen) return;
    const size = sizeOf(this.element);
    const { a, b, c, d, e, f } = place(flat, size, camera);
    const ratio = this.canvas.width / size.width;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.setTransform(a * ratio, b * ratio, c * ratio, d * ratio, e * ratio, f * ratio);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.bitmap, -flat.width / 2, -flat.height / 2, flat.width, flat.height);
  }

  resize(): void {
    const { width, height } = sizeOf(this.element);
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
  }

  dispose(): void {
    this.canvas.remove();
  }
}

function paint(canvas: HTMLCanvasElement, { data, columns, rows, samples }: Decoded, levels: Levels, isInverse: boolean): void {
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const image = pen.createImageData(columns, rows);
  const { lower, upper } = rangeOf(levels);
  const factor = 255 / (upper - lower);
  // Clamped and rounded by the array itself.
  const pixels = image.data;
  for (let at = 0; at < columns * rows; at++) {
    for (let sample = 0; sample < 3; sample++) {
      const value = ((data[samples === 3 ? at * 3 + sample : at] ?? 0) - lower) * factor;
      pixels[at * 4 + sample] = isInverse ? 255 - value : value;
    }
    pixels[at * 4 + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}
