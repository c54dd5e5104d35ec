// Owns Cornerstone3D: its engine, stacks and planes through volumes. Pictures are given to it decoded; it fetches nothing itself.

import * as cornerstone from "@cornerstonejs/core";
import { enlarged } from "../decoding/form";
import type { Decoded } from "../decoding/form";
import type { Picture } from "../model";
import { place, spaceCamera } from "../placement";
import type { Flat } from "../placement";
import type { Camera } from "../view";
import { rangeOf } from "../windows";
import type { Levels } from "../windows";
import { sizeOf } from "./surface";
import type { Drawing, PlaneDrawing, PlaneSurface, Surface } from "./surface";

const SCHEME = "bridge:";
/** Each takes memory of the graphics; cells take turns. */
const CONTEXTS = 2;
/** What is drawn of a stack, by its distance from the camera: Cornerstone's own range is of the picture before. */
const RANGE = [0.5, 1.5] as const;
const { ViewportType } = cornerstone.Enums;
type Vec3 = cornerstone.Types.Point3;

/** What is drawn under each image id. */
const pictures = new Map<string, { readonly picture: Picture; readonly samples: 1 | 3 }>();
let engine: cornerstone.RenderingEngine | null = null;
let surfaces = 0;
let lastNumber = 0;

function theEngine(): cornerstone.RenderingEngine {
  if (engine) return engine;
  cornerstone.init({ rendering: { webGlContextCount: CONTEXTS } } as cornerstone.Types.Cornerstone3DConfig);
  cornerstone.metaData.addProvider(tell, 1000);
  engine = new cornerstone.RenderingEngine("reader");
  return engine;
}

function leave(viewport: string): void {
  engine?.disableElement(viewport);
  surfaces -= 1;
  if (surfaces > 0) return;
  engine?.destroy();
  engine = null;
  cornerstone.metaData.removeProvider(tell);
  cornerstone.cache.purgeCache();
  pictures.clear();
}

export class StackSurface implements Surface {
  private readonly id = `stack-${++lastNumber}`;
  private readonly viewport: cornerstone.StackViewport;
  private shown: Decoded | null = null;

  constructor(private readonly element: HTMLDivElement) {
    surfaces += 1;
    const at = theEngine();
    at.enableElement({ viewportId: this.id, type: ViewportType.STACK, element, defaultOptions: { background: [0, 0, 0] } });
    this.viewport = at.getViewport<cornerstone.StackViewport>(this.id);
  }

  draw({ picture, decoded, levels, isInverse, flat, camera }: Drawing): void {
    if (this.shown !== decoded) {
      const imageId = `${SCHEME}${this.id}`;
      pictures.set(imageId, { picture, samples: decoded.samples });
      this.viewport.renderImageObject(imageOf(imageId, picture, decoded));
      this.shown = decoded;
    }
    shade(this.viewport, levels, isInverse);
    look(this.viewport, this.element, flat, camera, RANGE);
    this.viewport.render();
  }

  resize(): void {
    engine?.resize(true, false);
  }

  dispose(): void {
    pictures.delete(`${SCHEME}${this.id}`);
    leave(this.id);
  }
}

export class VolumeSurface implements PlaneSurface {
  private readonly id = `plane-${++lastNumber}`;
  private readonly viewport: cornerstone.VolumeViewport;
  private isReady = false;
  private last: PlaneDrawing | null = null;

  constructor(
    private readonly element: HTMLDivElement,
    volume: GraphicsVolume,
  ) {
    surfaces += 1;
    const at = theEngine();
    at.enableElement({
      viewportId: this.id,
      type: ViewportType.ORTHOGRAPHIC,
      element,
      defaultOptions: { background: [0, 0, 0], orientation: cornerstone.Enums.OrientationAxis.AXIAL },
    });
    this.viewport = at.getViewport<cornerstone.VolumeViewport>(this.id);
    void cornerstone.setVolumesForViewports(at, [{ volumeId: volume.id }], [this.id]).then(() => {
      this.isReady = true;
      if (this.last) this.draw(this.last);
    });
  }

  draw(drawing: PlaneDrawing): void {
    this.last = drawing;
    if (!this.isReady || this.viewport.isDisabled) return;
    this.viewport.setProperties({ voiRange: rangeOf(drawing.levels), invert: drawing.isInverse });
    look(this.viewport, this.element, drawing.flat, drawing.camera, null);
    this.viewport.render();
  }

  resize(): void {
    engine?.resize(true, false);
  }

  dispose(): void {
    leave(this.id);
  }
}

export interface VolumeForm {
  readonly size: readonly [number, number, number];
  readonly spacing: readonly [number, number, number];
  readonly origin: readonly [number, number, number];
  readonly direction: readonly [readonly number[], readonly number[], readonly number[]];
}

/** Values of a volume, plane by plane, as they come. */
export class GraphicsVolume {
  /** "derived" tells Cornerstone that no window of it is to be guessed from pictures that it would fetch. */
  readonly id = `derived:volume-${++lastNumber}`;
  private readonly volume: cornerstone.Types.IImageVolume;

  constructor(
    form: VolumeForm,
    private readonly data: Int16Array | Uint16Array | Uint8Array | Float32Array,
  ) {
    theEngine();
    this.volume = cornerstone.volumeLoader.createLocalVolume(this.id, {
      metadata: {} as cornerstone.Types.Metadata,
      dimensions: [...form.size],
      spacing: [...form.spacing],
      origin: [...form.origin],
      direction: form.direction.flat() as unknown as cornerstone.Types.Mat3,
      scalarData: data,
    });
  }

  put(plane: number, values: ArrayLike<number>): void {
    this.data.set(values, plane * values.length);
    const texture = (this.volume as unknown as { readonly vtkOpenGLTexture: { setUpdatedFrame(plane: number): void } }).vtkOpenGLTexture;
    texture.setUpdatedFrame(plane);
    this.volume.imageData?.modified();
  }

  dispose(): void {
    // With the last surface all of them went.
    if (cornerstone.cache.getVolume(this.id)) cornerstone.cache.removeVolumeLoadObject(this.id);
  }
}

interface ShadedActor {
  getProperty(): {
    getRGBTransferFunction(component: number): { removeAllPoints(): void; addRGBPoint(at: number, red: number, green: number, blue: number): void };
  };
}

/** The window, set anew each time: Cornerstone moves the one that is there, which of a picture of one value only is nowhere. */
function shade(viewport: cornerstone.StackViewport, levels: Levels, isInverse: boolean): void {
  const { lower, upper } = rangeOf(levels);
  const greys = (viewport.getDefaultActor().actor as unknown as ShadedActor).getProperty().getRGBTransferFunction(0);
  const dark = isInverse ? 1 : 0;
  greys.removeAllPoints();
  greys.addRGBPoint(lower, dark, dark, dark);
  greys.addRGBPoint(upper, 1 - dark, 1 - dark, 1 - dark);
}

function look(
  viewport: cornerstone.StackViewport | cornerstone.VolumeViewport,
  element: HTMLElement,
  flat: Flat,
  camera: Camera,
  range: readonly [number, number] | null,
): void {
  const size = sizeOf(element);
  const { focalPoint, position, viewUp, viewPlaneNormal, parallelScale, away } = spaceCamera(flat, size, place(flat, size, camera));
  viewport.setCamera({
    focalPoint: [...focalPoint] as Vec3,
    position: [...position] as Vec3,
    viewUp: [...viewUp] as Vec3,
    viewPlaneNormal: [...viewPlaneNormal] as Vec3,
    parallelScale,
    parallelProjection: true,
    // A volume's own is the slab that is cut out of it.
    ...(range ? { clippingRange: [range[0] * away, range[1] * away] as cornerstone.Types.Point2 } : {}),
  });
}

function imageOf(imageId: string, picture: Picture, decoded: Decoded): cornerstone.Types.IImage {
  const { columns, rows } = picture;
  const { data, samples } = decoded.columns === columns && decoded.rows === rows ? decoded : enlarged(decoded, columns, rows);
  const voxelManager = cornerstone.utilities.VoxelManager.createImageVoxelManager({ width: columns, height: rows, scalarData: data, numberOfComponents: samples });
  const [x, y] = picture.spacing;
  return {
    imageId,
    minPixelValue: 0,
    maxPixelValue: 255,
    slope: 1,
    intercept: 0,
    windowCenter: 128,
    windowWidth: 256,
    voiLUTFunction: cornerstone.Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => data,
    getCanvas: () => document.createElement("canvas"),
    rows,
    columns,
    height: rows,
    width: columns,
    color: samples === 3,
    rgba: false,
    numberOfComponents: samples,
    columnPixelSpacing: x,
    rowPixelSpacing: y,
    invert: false,
    sizeInBytes: data.byteLength,
    dataType: data.constructor.name as cornerstone.Types.PixelDataTypedArrayString,
    voxelManager,
  };
}

function tell(type: string, ...query: unknown[]): unknown {
  const [imageId] = query;
  const shown = typeof imageId === "string" ? pictures.get(imageId) : undefined;
  if (!shown) return undefined;
  const { picture, samples } = shown;
  switch (type) {
    case "imagePixelModule":
      // What is inverse as stored is told by `isInverse` of each drawing.
      return { ...picture.form, samplesPerPixel: samples, photometricInterpretation: samples === 3 ? "RGB" : "MONOCHROME2", pixelRepresentation: 0 };
    case "imagePlaneModule": {
      const { position, right, down } = picture.plane ?? { position: [0, 0, 0], right: [1, 0, 0], down: [0, 1, 0] };
      const [x, y] = picture.spacing;
      return {
        frameOfReferenceUID: picture.frameOfReference,
        rows: picture.rows,
        columns: picture.columns,
        imagePositionPatient: [...position],
        imageOrientationPatient: [...right, ...down],
        rowCosines: [...right],
        columnCosines: [...down],
        pixelSpacing: [y, x],
        rowPixelSpacing: y,
        columnPixelSpacing: x,
        usingDefaultValues: false,
      };
    }
    case "generalSeriesModule":
      return { modality: picture.modality };
    default:
      return undefined;
  }
}
