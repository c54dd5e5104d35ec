// Owns what is drawn over a picture: measurements with what they come to, reference lines, the leader's pointer.

import type { JSX, TargetedPointerEvent } from "preact";
import { formatNumber, t } from "../i18n";
import { angle, area, distance, valuesIn } from "./measure";
import type { Draft, MarkTool } from "./measuring";
import { belongsTo, isMarkTool, pixelOf, pointOf } from "./measuring";
import type { Picture } from "./model";
import { crossing } from "./order";
import { flatOf, fromCell, fromPixel, place, toCell, toPixel } from "./placement";
import type { Placement, Point, Size } from "./placement";
import { cameraIn, pointerIn } from "./slots";
import type { NamedMark } from "./slots";
import type { StudyViewer } from "./viewer";

interface OverlayProps {
  readonly viewer: StudyViewer;
  readonly cell: number;
  readonly picture: Picture;
  readonly size: Size;
  readonly draft: Draft | null;
}

const GRIP = 22;
const LINE_PX = 17;

export function Overlay({ viewer, cell, picture, size, draft }: OverlayProps): JSX.Element {
  const placement = place(flatOf(picture), size, cameraIn(viewer.slots.value, cell));
  const at = (pixel: Point): Point => toCell(placement, fromPixel(picture, pixel));
  const pointer = pointerIn(viewer.slots.value);
  const marks = viewer.marks.value.filter((mark) => belongsTo(mark, picture));
  const isDraftHere = draft?.picture.id === picture.id;
  return (
    <svg class="reader-overlay" width={size.width} height={size.height} viewBox={`0 0 ${size.width} ${size.height}`} data-testid="reader-overlay">
      {viewer.showsLines.value && <ReferenceLine viewer={viewer} cell={cell} picture={picture} at={at} />}
      {marks.map((mark) => (
        <MarkShape key={mark.id} viewer={viewer} mark={mark} picture={picture} placement={placement} />
      ))}
      {isDraftHere && <Shape tool={draft.tool} points={draft.points.map(at)} isDraft />}
      {isDraftHere && <Words lines={told(viewer, draft.tool, picture, draft.points)} at={anchor(draft.points.map(at))} size={size} />}
      {pointer?.[0] === cell && <PointerSign at={at([pointer[1], pointer[2]])} name={viewer.pointsName.value} />}
    </svg>
  );
}

interface MarkShapeProps {
  readonly viewer: StudyViewer;
  readonly mark: NamedMark;
  readonly picture: Picture;
  readonly placement: Placement;
}

function MarkShape({ viewer, mark, picture, placement }: MarkShapeProps): JSX.Element | null {
  const { tool } = mark;
  if (!isMarkTool(tool)) return null;
  const pixels = mark.points.map((point) => pixelOf(picture, point));
  const points = pixels.map((pixel) => toCell(placement, fromPixel(picture, pixel)));
  const move = (index: number, to: Point): void => {
    const moved = toPixel(picture, fromCell(placement, to));
    viewer.mark(mark.id, { ...plain(mark), points: pixels.map((pixel, number) => pointOf(picture, number === index ? moved : pixel)) });
  };
  const lines = told(viewer, tool, picture, pixels);
  return (
    <g class="reader-mark" data-testid="reader-mark" data-tool={tool} data-mark={mark.id} data-told={lines.join(" · ")}>
      <Shape tool={tool} points={points} isDraft={false} />
      {points.map((point, index) => (
        <Grip key={index} at={point} onMove={(to) => move(index, to)} />
      ))}
      <Words lines={lines} at={anchor(points)} size={null} />
    </g>
  );
}

/** A point that can be taken hold of: large enough for a finger, drawn small. */
function Grip({ at, onMove }: { readonly at: Point; readonly onMove: (to: Point) => void }): JSX.Element {
  const follow = (event: TargetedPointerEvent<SVGCircleElement>): void => {
    const { currentTarget: grip } = event;
    if (!grip.hasPointerCapture(event.pointerId)) return;
    const box = grip.ownerSVGElement?.getBoundingClientRect();
    if (box) onMove([event.clientX - box.left, event.clientY - box.top]);
  };
  return (
    <>
      <circle class="reader-dot" cx={at[0]} cy={at[1]} r={4} />
      <circle
        class="reader-grip"
        data-handle
        cx={at[0]}
        cy={at[1]}
        r={GRIP / 2}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={follow}
        onPointerUp={follow}
      />
    </>
  );
}

function Shape({ tool, points, isDraft }: { readonly tool: MarkTool; readonly points: readonly Point[]; readonly isDraft: boolean }): JSX.Element | null {
  const [first, second] = points;
  if (!first || !second) return null;
  const kind = isDraft ? "reader-line draft" : "reader-line";
  if (tool === "ellipse") {
    // The box turns with the picture; of quarter turns, which is all there is, it stays a box.
    return <ellipse class={kind} cx={(first[0] + second[0]) / 2} cy={(first[1] + second[1]) / 2} rx={Math.abs(second[0] - first[0]) / 2} ry={Math.abs(second[1] - first[1]) / 2} />;
  }
  if (tool === "rectangle") {
    return <rect class={kind} x={Math.min(first[0], second[0])} y={Math.min(first[1], second[1])} width={Math.abs(second[0] - first[0])} height={Math.abs(second[1] - first[1])} />;
  }
  return <polyline class={kind} points={points.map((point) => point.join(",")).join(" ")} />;
}

function Words({ lines, at, size }: { readonly lines: readonly string[]; readonly at: Point; readonly size: Size | null }): JSX.Element {
  const x = size ? Math.min(at[0] + 10, size.width - 80) : at[0] + 10;
  return (
    <text class="reader-words" x={x} y={at[1]}>
      {lines.map((line, index) => (
        <tspan key={index} x={x} dy={index === 0 ? 0 : LINE_PX}>
          {line}
        </tspan>
      ))}
    </text>
  );
}

function ReferenceLine({ viewer, cell, picture, at }: { readonly viewer: StudyViewer; readonly cell: number; readonly picture: Picture; readonly at: (pixel: Point) => Point }): JSX.Element | null {
  const active = viewer.active.value;
  const other = active === cell ? null : viewer.pictureIn(active);
  const line = other && viewer.layout.value !== "mpr" ? crossing(other, picture) : null;
  if (!line) return null;
  const [from, to] = [at(line[0]), at(line[1])];
  return <line class="reader-reference" data-testid="reader-reference" x1={from[0]} y1={from[1]} x2={to[0]} y2={to[1]} />;
}

export function PointerSign({ at: [x, y], name }: { readonly at: Point; readonly name: string }): JSX.Element {
  return (
    <g class="reader-pointer" data-testid="reader-pointer">
      <circle cx={x} cy={y} r={13} />
      <path d={`M${x - 20} ${y}h12M${x + 8} ${y}h12M${x} ${y - 20}v12M${x} ${y + 8}v12`} />
      {name !== "" && (
        <text x={x + 18} y={y - 12}>
          {name}
        </text>
      )}
    </g>
  );
}

/** What a measurement comes to, line by line. */
function told(viewer: StudyViewer, tool: MarkTool, picture: Picture, points: readonly Point[]): readonly string[] {
  const [first, second, third] = points;
  if (!first || !second) return [];
  switch (tool) {
    case "length":
      return [long(distance(picture, first, second), picture)];
    case "angle":
      return third ? [t("reader.degrees", { value: formatNumber(angle(picture, first, second, third), 1) })] : [];
    default:
      return [...valuesTold(viewer, tool, picture, first, second), wide(area(picture, tool, first, second), picture)];
  }
}

function valuesTold(viewer: StudyViewer, tool: "ellipse" | "rectangle", picture: Picture, a: Point, b: Point): readonly string[] {
  const best = viewer.best(picture);
  // Of colours, and of what is not all there, a mean would say what is not so.
  if (best?.grade !== "sharp") return [t("reader.valuesLater")];
  if (best.decoded.samples !== 1) return [];
  const values = valuesIn(best.decoded, tool, a, b);
  if (!values) return [];
  const figure = (value: number): string => withUnit(value, picture);
  return [t("reader.mean", { value: figure(values.mean) }), t("reader.deviation", { value: figure(values.deviation) }), t("reader.range", { least: figure(values.least), most: figure(values.most) })];
}

export function withUnit(value: number, picture: Picture): string {
  const digits = Math.abs(value) < 100 && !Number.isInteger(value) ? 1 : 0;
  return picture.unit === "" ? formatNumber(value, digits) : `${formatNumber(value, digits)} ${picture.unit}`;
}

function long(value: number, { isMillimetre }: Picture): string {
  return isMillimetre ? t("reader.millimetres", { value: formatNumber(value, 1) }) : t("reader.pixels", { value: formatNumber(value) });
}

function wide(value: number, { isMillimetre }: Picture): string {
  return isMillimetre ? t("reader.squareMillimetres", { value: formatNumber(value) }) : t("reader.squarePixels", { value: formatNumber(value) });
}

/** Beside the point furthest to the right. */
function anchor(points: readonly Point[]): Point {
  return points.reduce((best, point) => (point[0] > best[0] ? point : best), points[0] ?? [0, 0]);
}

const plain = ({ tool, series, instance, frame, points, text, by }: NamedMark): Omit<NamedMark, "id"> => ({ tool, series, instance, frame, points, text, by });
