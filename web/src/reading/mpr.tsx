// Owns a cell with a plane through a volume: axial, sagittal or coronal, with the lines of the other two.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { formatNumber, t } from "../i18n";
import { Note } from "./cell";
import { askGraphics, graphics } from "./drawing/graphics";
import type { Graphics } from "./drawing/graphics";
import type { PlaneSurface } from "./drawing/surface";
import { sizeOf } from "./drawing/surface";
import { listen } from "./gestures";
import type { Series } from "./model";
import { volumeOf } from "./order";
import type { VolumeShape } from "./order";
import { PointerSign } from "./overlay";
import { edgeLetters, fromCell, inSpace, panned, place, toCell, zoomedAt } from "./placement";
import type { Flat, Point, Size } from "./placement";
import { AXES, boundsOf, crossLine, middle, planeFlat, reach, stepOf } from "./planes";
import { PLANES, atIn, cameraIn, pointerIn, windowIn } from "./slots";
import { dot } from "./vectors";
import type { Plane } from "./view";
import type { StudyViewer } from "./viewer";
import { borrow, giveBack } from "./volumes";
import type { FilledVolume } from "./volumes";
import { COLOUR_LEVELS, dragged } from "./windows";
import type { Levels } from "./windows";
import { autoOf } from "./stack";

interface PlaneProps {
  readonly viewer: StudyViewer;
  readonly cell: number;
  readonly series: Series;
  readonly plane: Plane;
}

const shapes = new WeakMap<Series, ReturnType<typeof volumeOf>>();

/** One for a series, so that its planes share one volume. */
export function shapeOf(series: Series): ReturnType<typeof volumeOf> {
  let shape = shapes.get(series);
  if (shape === undefined) {
    shape = volumeOf(series.pictures);
    shapes.set(series, shape);
  }
  return shape;
}

export function PlaneCell(props: PlaneProps): JSX.Element {
  const shape = shapeOf(props.series);
  if (typeof shape === "string") return <Note>{t(`reader.noVolume.${shape}`)}</Note>;
  const drawing = graphics.value;
  if (drawing === null) return <Note>{t("reader.noGraphics")}</Note>;
  if (drawing === "loading") {
    askGraphics();
    return <Note>{t("reader.loadingReader")}</Note>;
  }
  return <Through {...props} shape={shape} drawing={drawing} />;
}

function Through({ viewer, cell, series, plane, shape, drawing }: PlaneProps & { readonly shape: VolumeShape; readonly drawing: Graphics }): JSX.Element {
  const outer = useRef<HTMLDivElement>(null);
  const ground = useRef<HTMLDivElement>(null);
  const surface = useRef<PlaneSurface | null>(null);
  const volume = useRef<FilledVolume | null>(null);
  const filled = useSignal(0);
  const size = useSignal<Size>({ width: 1, height: 1 });
  const bounds = useMemo(() => boundsOf(shape), [shape]);
  const at = useComputed(() => placeOf(viewer, cell, plane, bounds));
  const levels = useComputed(() => volumeLevels(viewer, cell, shape));
  const flat = useComputed(() => planeFlat(bounds, plane, at.value));

  useEffect(() => {
    const element = ground.current;
    if (!element) return;
    const own = borrow(viewer, series.uid, shape, drawing);
    volume.current = own;
    const drawn = new drawing.VolumeSurface(element, own.graphics);
    surface.current = drawn;
    const watcher = new ResizeObserver(() => {
      drawn.resize();
      size.value = sizeOf(element);
    });
    watcher.observe(element);
    size.value = sizeOf(element);
    return () => {
      watcher.disconnect();
      drawn.dispose();
      surface.current = null;
      volume.current = null;
      giveBack(viewer, series.uid, own);
    };
  }, [viewer, series.uid, shape, drawing, size]);

  useSignalEffect(() => {
    if (viewer.came.value > 0 && volume.current?.fill(viewer) === true) filled.value = filled.peek() + 1;
  });

  useSignalEffect(() => {
    const { width } = size.value;
    const camera = cameraIn(viewer.slots.value, cell);
    const isInverted = windowIn(viewer.slots.value, cell)?.[2] === 1;
    // Drawn anew with each picture that fills it.
    if (width > 1 && filled.value >= 0) surface.current?.draw({ flat: flat.value, camera, levels: levels.value, isInverse: isInverted });
  });

  useEffect(() => {
    const element = outer.current;
    if (!element) return;
    const onFlat = (point: Point): Point => fromCell(place(flat.peek(), size.peek(), cameraIn(viewer.slots.peek(), cell)), point);
    const goTo = (point: Point): void => {
      const there = inSpace(flat.peek(), onFlat(point));
      const changes = PLANES.flatMap((other, number) => (number === cell ? [] : [[`at.${number}`, limited(dot(there, AXES[other].normal), reach(bounds, other))] as const]));
      viewer.hand(Object.fromEntries(changes));
    };
    return listen(element, {
      tool: () => viewer.tool.peek(),
      begin(kind, point) {
        viewer.active.value = cell;
        if (kind === "scroll") goTo(point);
      },
      drag(kind, [byX, byY], point) {
        const camera = cameraIn(viewer.slots.peek(), cell);
        const cellSize = size.peek();
        switch (kind) {
          case "window": {
            const inverted = windowIn(viewer.slots.peek(), cell)?.[2] ?? 0;
            const next = [...dragged(levels.peek(), byX, byY), inverted];
            viewer.hand({ "window.0": next, "window.1": next, "window.2": next });
            return;
          }
          case "zoom":
            viewer.hand({ [`camera.${cell}`]: zoomedAt(camera, Math.exp(-byY / 200), flat.peek(), cellSize, [cellSize.width / 2, cellSize.height / 2]) });
            return;
          case "pan":
            viewer.hand({ [`camera.${cell}`]: panned(camera, byX, byY, flat.peek(), cellSize) });
            return;
          case "pointer": {
            const [x, y] = onFlat(point);
            viewer.hand({ pointer: [cell, x, y] });
            return;
          }
          default:
            goTo(point);
        }
      },
      end(kind) {
        if (kind === "pointer") viewer.hand({ pointer: null });
      },
      wheel: (steps) => scrollPlane(viewer, cell, plane, shape, steps),
      pinch(factor, point, [byX, byY]) {
        const moved = panned(cameraIn(viewer.slots.peek(), cell), byX, byY, flat.peek(), size.peek());
        viewer.hand({ [`camera.${cell}`]: zoomedAt(moved, factor, flat.peek(), size.peek(), point) });
      },
      hover(point) {
        if (!viewer.pointing.peek()) return;
        const on = point ? onFlat(point) : null;
        viewer.hand({ pointer: on ? [cell, ...on] : null });
      },
    });
  }, [viewer, cell, plane, shape, bounds, flat, levels, size]);

  const placement = place(flat.value, size.value, cameraIn(viewer.slots.value, cell));
  const [left, top] = edgeLetters(flat.value, placement);
  const pointer = pointerIn(viewer.slots.value);
  return (
    <div ref={outer} class={`reader-stack tool-${viewer.tool.value}`} data-testid="reader-plane" data-cell={cell} data-plane={plane} data-at={at.value}>
      <div ref={ground} class="reader-ground" />
      <svg class="reader-overlay" width={size.value.width} height={size.value.height}>
        {viewer.showsLines.value &&
          PLANES.map((other, number) =>
            other === plane ? null : <CrossLine key={other} plane={other} flat={flat.value} at={placeOf(viewer, number, other, bounds)} toPage={(point) => toCell(placement, point)} />,
          )}
        {pointer?.[0] === cell && <PointerSign at={toCell(placement, [pointer[1], pointer[2]])} name={viewer.pointsName.value} />}
      </svg>
      <p class="reader-corner top-left">
        <strong>{series.patient === "" ? t("reader.nameless") : series.patient}</strong>
        <span>{[series.modality, series.description].filter(Boolean).join(" · ")}</span>
      </p>
      <p class="reader-corner top-right">
        <span>{t(`reader.plane.${plane}`)}</span>
        <span>{t("reader.millimetres", { value: formatNumber(at.value, 1) })}</span>
      </p>
      <p class="reader-corner bottom-left">
        <span>{t("reader.windowIs", { centre: formatNumber(levels.value[0]), width: formatNumber(levels.value[1]) })}</span>
      </p>
      <span class="reader-side left">{left}</span>
      <span class="reader-side top">{top}</span>
    </div>
  );
}

interface CrossLineProps {
  readonly plane: Plane;
  readonly flat: Flat;
  readonly at: number;
  readonly toPage: (point: Point) => Point;
}

function CrossLine({ plane, flat, at, toPage }: CrossLineProps): JSX.Element | null {
  const line = crossLine(flat, plane, at);
  if (!line) return null;
  const [from, to] = [toPage(line[0]), toPage(line[1])];
  return <line class={`reader-cross ${plane}`} data-testid="reader-cross" x1={from[0]} y1={from[1]} x2={to[0]} y2={to[1]} />;
}

/** One picture further through the volume. */
export function scrollPlane(viewer: StudyViewer, cell: number, plane: Plane, shape: VolumeShape, steps: number): void {
  const bounds = boundsOf(shape);
  const now = placeOf(viewer, cell, plane, bounds);
  // Downwards is towards the feet, as a stack from the head on goes.
  const next = now - steps * stepOf(shape, plane) * (plane === "axial" ? 1 : -1);
  viewer.hand({ [`at.${cell}`]: limited(next, reach(bounds, plane)) });
}

function placeOf(viewer: StudyViewer, cell: number, plane: Plane, bounds: ReturnType<typeof boundsOf>): number {
  const said = atIn(viewer.slots.value, cell);
  return limited(said ?? dot(middle(bounds), AXES[plane].normal), reach(bounds, plane));
}

function volumeLevels(viewer: StudyViewer, cell: number, shape: VolumeShape): Levels {
  const chosen = windowIn(viewer.slots.value, cell);
  if (chosen) return [chosen[0], chosen[1]];
  const picture = shape.pictures[Math.floor(shape.pictures.length / 2)];
  if (picture?.window) return picture.window;
  const best = picture ? viewer.best(picture) : null;
  return best ? autoOf(best.decoded.data) : COLOUR_LEVELS;
}

const limited = (value: number, [least, most]: readonly [number, number]): number => Math.round(Math.min(most, Math.max(least, value)) * 1000) / 1000;
