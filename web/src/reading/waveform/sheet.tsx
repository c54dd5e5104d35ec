// Owns the sheet of paper on the screen: its size, drawing it when something changes, and the hand that sets calipers on it.

import { useSignal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { theme } from "../../components/preferences";
import { t } from "../../i18n";
import type { Caliper } from "./calipers";
import { draw } from "./drawing";
import type { Colours } from "./drawing";
import { placeAt, within, xOf } from "./paper";
import type { Paper, Place, Scale, Strip } from "./paper";
import type { Samples } from "./samples";

interface SheetProps {
  readonly paper: ReadonlySignal<Paper>;
  readonly scale: ReadonlySignal<Scale>;
  readonly samples: Samples;
  readonly pxPerMm: ReadonlySignal<number>;
  /** How much room there is. */
  readonly widthPx: Signal<number>;
  /** A drag sets a caliper; else it scrolls. */
  readonly measuring: ReadonlySignal<boolean>;
  readonly calipers: readonly Caliper[];
  readonly onSet: (id: string, caliper: Omit<Caliper, "id" | "by">) => void;
}

/** What the hand is at: a new caliper, or one end of one that is there. */
interface Draft extends Caliper {
  readonly strip: Strip;
}

/** A finger is this wide. */
const GRIP_PX = 14;
/** Less is a touch, not a measurement. */
const LEAST_PX = 4;
/** So that a gloved hand's drag is seen by others as it goes, and the line is not filled with it. */
const TOLD_EVERY_MS = 100;

export function Sheet({ paper, scale, samples, pxPerMm: sized, widthPx, measuring, calipers, onSet }: SheetProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const draft = useSignal<Draft | null>(null);
  const toldMs = useRef(0);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const look = (): void => {
      widthPx.value = element.clientWidth;
    };
    const observer = new ResizeObserver(look);
    observer.observe(element);
    look();
    return () => observer.disconnect();
  }, [widthPx]);

  const pxPerMm = sized.value;
  const shown = draft.value === null ? calipers : [...calipers.filter(({ id }) => id !== draft.value?.id), draft.value];
  const lightness = theme.value;
  useEffect(() => {
    if (canvas.current && widthPx.value > 0) {
      draw(canvas.current, { paper: paper.value, scale: scale.value, samples, pxPerMm, colours: coloursOf(canvas.current), calipers: shown });
    }
  });

  const at = (event: PointerEvent): { x: number; y: number } => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return { x: (event.clientX - box.left) / pxPerMm, y: (event.clientY - box.top) / pxPerMm };
  };
  const begin = (event: PointerEvent): void => {
    if (!measuring.value || event.button !== 0) return;
    const { x, y } = at(event);
    const place = placeAt(paper.value, scale.value, x, y);
    if (place === null) return;
    event.preventDefault();
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    draft.value = gripped(place, calipers, scale.value, x, GRIP_PX / pxPerMm) ?? fresh(place);
  };
  const move = (event: PointerEvent): void => {
    const before = draft.value;
    if (before === null) return;
    const { x, y } = at(event);
    const { timeS, value } = within(before.strip, scale.value.speed, x, y);
    const next = { ...before, toS: timeS, toValue: value };
    draft.value = next;
    const nowMs = performance.now();
    if (nowMs - toldMs.current < TOLD_EVERY_MS || !isMeant(next, scale.value, pxPerMm)) return;
    toldMs.current = nowMs;
    onSet(next.id, next);
  };
  const end = (): void => {
    const done = draft.value;
    draft.value = null;
    if (done !== null && isMeant(done, scale.value, pxPerMm)) onSet(done.id, done);
  };
  return (
    <div ref={frame} class="wave-frame" data-theme={lightness}>
      <canvas
        ref={canvas}
        class={measuring.value ? "wave-sheet measuring" : "wave-sheet"}
        role="img"
        aria-label={t("waveform.sheet", { leads: samples.group.channels.map(({ label }) => label).join(", ") })}
        data-testid="wave-sheet"
        data-px-per-mm={pxPerMm}
        data-strips={JSON.stringify(paper.value.strips.map(({ channel, fromS, x, y }) => [channel, fromS, x, y]))}
        onPointerDown={begin}
        onPointerMove={move}
        onPointerUp={end}
        onPointerCancel={() => (draft.value = null)}
      />
    </div>
  );
}

function fresh({ strip, timeS, value }: Place): Draft {
  return { id: crypto.randomUUID(), by: "", channel: strip.channel, fromS: timeS, toS: timeS, fromValue: value, toValue: value, strip };
}

/** An end that is close by goes with the hand; the other one stays. */
function gripped({ strip }: Place, calipers: readonly Caliper[], { speed }: Scale, x: number, reach: number): Draft | null {
  for (const caliper of calipers) {
    if (caliper.channel !== strip.channel) continue;
    const isFar = (timeS: number): boolean => Math.abs(xOf(strip, speed, timeS) - x) > reach;
    if (!isFar(caliper.toS)) return { ...caliper, strip };
    if (!isFar(caliper.fromS)) {
      return { ...caliper, fromS: caliper.toS, toS: caliper.fromS, fromValue: caliper.toValue, toValue: caliper.fromValue, strip };
    }
  }
  return null;
}

function isMeant({ fromS, toS, fromValue, toValue, strip }: Draft, { speed }: Scale, pxPerMm: number): boolean {
  return Math.hypot((toS - fromS) * speed, (toValue - fromValue) * strip.perUnit) * pxPerMm >= LEAST_PX;
}

function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--wave-${name}`).trim();
  return { ground: colour("ground"), fine: colour("fine"), strong: colour("strong"), trace: colour("trace"), caliper: colour("caliper") };
}
