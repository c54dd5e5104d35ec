// Owns a cell with a stack of pictures: draws the one that is due, as sharp as it has come, and does what a hand asks.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { CanvasSurface } from "./drawing/canvas";
import { askGraphics, graphics } from "./drawing/graphics";
import { sizeOf } from "./drawing/surface";
import type { Surface } from "./drawing/surface";
import { listen } from "./gestures";
import { isColour, isInverse } from "./model";
import type { Picture, Series } from "./model";
import { Overlay } from "./overlay";
import { flatOf, fromCell, panned, place, toPixel, zoomedAt } from "./placement";
import type { Point, Size } from "./placement";
import { cameraIn, windowIn } from "./slots";
import type { StudyViewer } from "./viewer";
import { COLOUR_LEVELS, autoLevels, dragged } from "./windows";
import type { Levels } from "./windows";
import { Corners } from "./corners";
import { useCine } from "./cine";
import { useMeasuring } from "./measuring";

interface StackProps {
  readonly viewer: StudyViewer;
  readonly cell: number;
  readonly series: Series;
}

/** Pixels of the page that a drag takes for one picture, in a stack that is not long. */
const STEP_PX = 8;

export function StackCell({ viewer, cell, series }: StackProps): JSX.Element {
  const place_ = useRef<HTMLDivElement>(null);
  const ground = useRef<HTMLDivElement>(null);
  const surface = useSignal<Surface | null>(null);
  const size = useSignal<Size>({ width: 1, height: 1 });
  const picture = useComputed(() => viewer.pictureIn(cell));
  const levels = useComputed(() => levelsOf(viewer, cell, picture.value));
  const measuring = useMeasuring(viewer, cell, picture, size);
  useCine(viewer, cell, series);

  useSignalEffect(() => {
    const element = ground.current;
    const drawing = graphics.value;
    if (!element) return;
    askGraphics();
    const made = drawing === null || drawing === "loading" ? new CanvasSurface(element) : new drawing.StackSurface(element);
    surface.value = made;
    const watcher = new ResizeObserver(() => {
      made.resize();
      size.value = sizeOf(element);
    });
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.dispose();
    };
  });

  useSignalEffect(() => {
    const shown = picture.value;
    const camera = cameraIn(viewer.slots.value, cell);
    const { width } = size.value;
    const best = shown ? viewer.best(shown) : null;
    if (!shown || !best || width <= 1) return;
    const window = windowIn(viewer.slots.value, cell);
    surface.value?.draw({
      picture: shown,
      decoded: best.decoded,
      levels: levels.value,
      isInverse: isInverse(shown.form) !== (window?.[2] === 1),
      flat: flatOf(shown),
      camera,
    });
  });

  useEffect(() => {
    const element = place_.current;
    if (!element) return;
    let rest = 0;
    // Nothing is measured or pointed at on a picture that is not there yet.
    const withPicture = (act: (shown: Picture, cellSize: Size) => void): void => {
      const shown = picture.peek();
      if (shown && viewer.best(shown)) act(shown, size.peek());
    };
    const pixelAt = (shown: Picture, at: Point): Point =>
      toPixel(shown, fromCell(place(flatOf(shown), size.peek(), cameraIn(viewer.slots.peek(), cell)), at));
    return listen(element, {
      tool: () => viewer.tool.peek(),
      begin(kind, at) {
        viewer.active.value = cell;
        rest = 0;
        withPicture((shown) => measuring.begin(kind, pixelAt(shown, at)));
      },
      drag(kind, [byX, byY], at) {
        withPicture((shown, cellSize) => {
          const camera = cameraIn(viewer.slots.peek(), cell);
          const flat = flatOf(shown);
          switch (kind) {
            case "scroll": {
              // A long stack is gone through by one drag over the cell.
              const step = Math.min(STEP_PX, Math.max(1, cellSize.height / series.pictures.length));
              rest += byY / step;
              const whole = Math.trunc(rest);
              rest -= whole;
              if (whole !== 0) viewer.scroll(cell, whole);
              return;
            }
            case "window": {
              const inverted = windowIn(viewer.slots.peek(), cell)?.[2] ?? 0;
              // Up is brighter: the centre goes down.
              const [centre, width] = dragged(levels.peek(), byX, byY);
              viewer.hand({ [`window.${cell}`]: [round(centre), round(width), inverted] });
              return;
            }
            case "zoom":
              viewer.hand({ [`camera.${cell}`]: zoomedAt(camera, Math.exp(-byY / 200), flat, cellSize, [cellSize.width / 2, cellSize.height / 2]) });
              return;
            case "pan":
              viewer.hand({ [`camera.${cell}`]: panned(camera, byX, byY, flat, cellSize) });
              return;
            case "pointer":
              viewer.hand({ pointer: [cell, ...pixelAt(shown, at)] });
              return;
            default:
              measuring.drag(pixelAt(shown, at));
          }
        });
      },
      end(kind, at) {
        withPicture((shown) => measuring.end(kind, pixelAt(shown, at)));
        if (kind === "pointer") viewer.hand({ pointer: null });
      },
      wheel: (steps) => viewer.scroll(cell, steps),
      pinch(factor, at, [byX, byY]) {
        withPicture((shown, cellSize) => {
          const flat = flatOf(shown);
          const moved = panned(cameraIn(viewer.slots.peek(), cell), byX, byY, flat, cellSize);
          viewer.hand({ [`camera.${cell}`]: zoomedAt(moved, factor, flat, cellSize, at) });
        });
      },
      hover(at) {
        withPicture((shown) => {
          if (at) measuring.hover(pixelAt(shown, at));
          if (viewer.pointing.peek()) viewer.hand({ pointer: at ? [cell, ...pixelAt(shown, at)] : null });
        });
      },
    });
  }, [viewer, cell, series, picture, levels, size, measuring]);

  const shown = picture.value;
  const best = shown ? viewer.best(shown) : null;
  const index = viewer.indexIn(cell, series);
  return (
    <div
      ref={place_}
      class={`reader-stack tool-${viewer.tool.value}`}
      data-testid="reader-stack"
      data-cell={cell}
      data-index={index}
      data-series={series.uid}
      data-instance={shown?.instance ?? ""}
      data-frame={shown?.frame ?? 0}
      data-grade={best?.grade ?? "none"}
      data-window={levels.value.join("/")}
    >
      {/* The picture before must not be taken for the one whose number and place are told. */}
      <div ref={ground} class={`reader-ground${best ? "" : " unseen"}`} />
      {shown && <Overlay viewer={viewer} cell={cell} picture={shown} size={size.value} draft={measuring.draft.value} />}
      {shown && <Corners viewer={viewer} cell={cell} series={series} picture={shown} index={index} levels={levels.value} size={size.value} />}
    </div>
  );
}

/** The window that counts: chosen, the object's own, or after the values of the picture. */
export function levelsOf(viewer: StudyViewer, cell: number, picture: Picture | null): Levels {
  const chosen = windowIn(viewer.slots.value, cell);
  if (chosen) return [chosen[0], chosen[1]];
  if (!picture) return COLOUR_LEVELS;
  if (isColour(picture.form)) return COLOUR_LEVELS;
  const best = viewer.best(picture);
  if (best?.decoded.samples === 3) return COLOUR_LEVELS;
  if (picture.window) return picture.window;
  return best ? autoOf(best.decoded.data) : COLOUR_LEVELS;
}

const known = new WeakMap<object, Levels>();

export function autoOf(data: ArrayLike<number> & object): Levels {
  let levels = known.get(data);
  if (!levels) {
    levels = autoLevels(data);
    known.set(data, levels);
  }
  return levels;
}

const round = (value: number): number => Math.round(value * 100) / 100;
