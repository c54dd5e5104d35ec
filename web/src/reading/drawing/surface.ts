// Owns what a cell is drawn on, whatever draws: a flat picture, or a plane through a volume.

import type { Decoded } from "../decoding/form";
import type { Picture } from "../model";
import type { Flat, Size } from "../placement";
import type { Camera } from "../view";
import type { Levels } from "../windows";

export interface Drawing {
  readonly picture: Picture;
  /** In preview its pixels are fewer. */
  readonly decoded: Decoded;
  readonly levels: Levels;
  readonly isInverse: boolean;
  readonly flat: Flat;
  readonly camera: Camera;
}

export interface Surface {
  draw(drawing: Drawing): void;
  resize(): void;
  dispose(): void;
}

export interface PlaneDrawing {
  readonly flat: Flat;
  readonly camera: Camera;
  readonly levels: Levels;
  readonly isInverse: boolean;
}

export interface PlaneSurface {
  draw(drawing: PlaneDrawing): void;
  resize(): void;
  dispose(): void;
}

export const sizeOf = (element: HTMLElement): Size => ({ width: Math.max(1, element.clientWidth), height: Math.max(1, element.clientHeight) });
