// Owns what a hand does on a cell: wheel, drag, one finger, two fingers. It tells of steps in pixels of the page; others know what they mean.

import type { Point } from "./placement";
import type { ToolName } from "./viewer";

export type DragKind = ToolName;

export interface Hand {
  tool(): ToolName;
  /** A finger or the button went down; the answer tells whether drags are taken. */
  begin(kind: DragKind, at: Point): void;
  drag(kind: DragKind, by: Point, at: Point): void;
  end(kind: DragKind, at: Point): void;
  wheel(steps: number): void;
  /** Two fingers, or the wheel with the control key. */
  pinch(factor: number, at: Point, by: Point): void;
  hover(at: Point | null): void;
}

/** One step of a wheel, in its own unit of pixels. */
const WHEEL_STEP = 50;
const LINE = 40;
const MIDDLE = 1;
const RIGHT = 2;

/** Listens until the answer is called. */
export function listen(element: HTMLElement, hand: Hand): () => void {
  const fingers = new Map<number, Point>();
  let kind: DragKind | null = null;
  let rest = 0;

  const at = (event: PointerEvent | WheelEvent): Point => {
    const { left, top } = element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };

  const onDown = (event: PointerEvent): void => {
    if (event.target instanceof Element && event.target.closest("[data-handle], button, a, video")) return;
    fingers.set(event.pointerId, at(event));
    element.setPointerCapture(event.pointerId);
    if (fingers.size === 2) {
      if (kind !== null) hand.end(kind, at(event));
      kind = null;
      return;
    }
    kind = event.button === MIDDLE ? "pan" : event.button === RIGHT ? "window" : hand.tool();
    hand.begin(kind, at(event));
    if (event.button === MIDDLE) event.preventDefault();
  };

  const onMove = (event: PointerEvent): void => {
    const before = fingers.get(event.pointerId);
    const now = at(event);
    if (!before) {
      hand.hover(now);
      return;
    }
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1] ?? now;
      const apart = Math.hypot(before[0] - other[0], before[1] - other[1]);
      const factor = apart > 0 ? Math.hypot(now[0] - other[0], now[1] - other[1]) / apart : 1;
      hand.pinch(factor, [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2], [(now[0] - before[0]) / 2, (now[1] - before[1]) / 2]);
    } else if (kind !== null) {
      hand.drag(kind, [now[0] - before[0], now[1] - before[1]], now);
    }
    fingers.set(event.pointerId, now);
  };

  const onUp = (event: PointerEvent): void => {
    if (!fingers.delete(event.pointerId)) return;
    if (kind !== null && fingers.size === 0) {
      hand.end(kind, at(event));
      kind = null;
    }
  };

  const onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : LINE);
    if (event.ctrlKey) {
      hand.pinch(Math.exp(-pixels / 400), at(event), [0, 0]);
      return;
    }
    rest += pixels;
    const steps = Math.trunc(rest / WHEEL_STEP);
    rest -= steps * WHEEL_STEP;
    if (steps !== 0) hand.wheel(steps);
  };

  const onMenu = (event: Event): void => event.preventDefault();
  const onLeave = (): void => hand.hover(null);
  element.addEventListener("pointerdown", onDown);
  element.addEventListener("pointermove", onMove);
  element.addEventListener("pointerup", onUp);
  element.addEventListener("pointercancel", onUp);
  element.addEventListener("pointerleave", onLeave);
  element.addEventListener("wheel", onWheel, { passive: false });
  element.addEventListener("contextmenu", onMenu);
  return () => {
    element.removeEventListener("pointerdown", onDown);
    element.removeEventListener("pointermove", onMove);
    element.removeEventListener("pointerup", onUp);
    element.removeEventListener("pointercancel", onUp);
    element.removeEventListener("pointerleave", onLeave);
    element.removeEventListener("wheel", onWheel);
    element.removeEventListener("contextmenu", onMenu);
  };
}
