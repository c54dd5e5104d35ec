// Owns volumes that planes are cut through: one for a series however many cells show it, filled as its pictures come.

import { room, roomFor, enlarged } from "./decoding/form";
import type { GraphicsVolume } from "./drawing/cornerstone";
import type { Graphics } from "./drawing/graphics";
import type { VolumeShape } from "./order";
import type { Grade } from "./loading/plan";
import type { StudyViewer } from "./viewer";

/** What is not there yet is as empty as air. */
const AIR_HU = -1024;

export class FilledVolume {
  readonly graphics: GraphicsVolume;
  private readonly has = new Map<string, Grade>();
  users = 0;

  constructor(
    readonly shape: VolumeShape,
    drawing: Graphics,
  ) {
    const [first] = shape.pictures;
    const [columns, rows, planes] = shape.size;
    const kind = first ? roomFor(first.form, first.slope, first.intercept, first.modalityLut !== null) : "Float32Array";
    const data = room(kind, columns * rows * planes);
    if (first?.unit === "HU" && kind !== "Uint8Array") data.fill(AIR_HU);
    const { right, down, through, origin, size, spacing } = shape;
    this.graphics = new drawing.GraphicsVolume({ size, spacing, origin, direction: [right, down, through] }, data);
  }

  /** Takes in what came. True if something did. */
  fill(viewer: StudyViewer): boolean {
    let isNew = false;
    const [columns, rows] = this.shape.size;
    this.shape.pictures.forEach((picture, plane) => {
      const best = viewer.frames.get(picture);
      if (best?.decoded.samples !== 1 || this.has.get(picture.id) === "sharp" || this.has.get(picture.id) === best.grade) return;
      const { decoded } = best;
      this.graphics.put(plane, decoded.columns === columns && decoded.rows === rows ? decoded.data : enlarged(decoded, columns, rows).data);
      this.has.set(picture.id, best.grade);
      isNew = true;
    });
    return isNew;
  }
}

const volumes = new WeakMap<StudyViewer, Map<string, FilledVolume>>();

export function borrow(viewer: StudyViewer, series: string, shape: VolumeShape, drawing: Graphics): FilledVolume {
  const own = volumes.get(viewer) ?? new Map<string, FilledVolume>();
  volumes.set(viewer, own);
  let volume = own.get(series);
  if (volume?.shape !== shape) {
    volume = new FilledVolume(shape, drawing);
    own.set(series, volume);
  }
  volume.users += 1;
  return volume;
}

export function giveBack(viewer: StudyViewer, series: string, volume: FilledVolume): void {
  volume.users -= 1;
  if (volume.users > 0) return;
  volume.graphics.dispose();
  const own = volumes.get(viewer);
  if (own?.get(series) === volume) own.delete(series);
}
