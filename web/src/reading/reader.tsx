// Owns the reader as a whole: tools, the strip of series, cells. Around it stands whatever page opened it.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import { t } from "../i18n";
import { Cell, Note } from "./cell";
import { chooseWindow, hasHounsfield, invert, mirror, reset, toggleCine, turn } from "./deeds";
import { compareWithEarlier, forget, looked } from "./earlier";
import { TOOL_KEYS, keyOf } from "./keys";
import { scrollPlane, shapeOf } from "./mpr";
import { canLink, offersPictures, offersTool } from "./offers";
import { Strip } from "./strip";
import { Toolbar } from "./toolbar";
import type { StudyViewer, ToolName } from "./viewer";
import { PRESET_NAMES } from "./windows";

interface ReaderProps {
  readonly viewer: StudyViewer;
  /** Takes the keys from the beginning on, where the reader is all of the page. */
  readonly autoFocus?: boolean;
}

const PAGE = 10;

export function Reader({ viewer, autoFocus = false }: ReaderProps): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (autoFocus) root.current?.focus();
  }, [autoFocus]);
  const uid = viewer.study.value;
  const study = uid === null ? null : viewer.library.study(uid).value;
  const { preview, sharp, total } = viewer.sharpness.value;
  return (
    <div
      ref={root}
      class="reader"
      tabIndex={-1}
      data-testid="reader"
      data-study={uid ?? ""}
      data-preview={preview}
      data-sharp={sharp}
      data-total={total}
      onKeyDown={(event) => onKey(viewer, event)}
    >
      <Toolbar viewer={viewer} />
      <div class="reader-body">
        <Trouble viewer={viewer} />
        <Comparison viewer={viewer} />
        {study?.state === "ready" && <Strip key={uid ?? ""} viewer={viewer} study={study.value} />}
        {study?.state === "failed" ? (
          <Note>
            <span role="alert">{t(`refused.${toldAs(study.code)}`)}</span>
            <button type="button" class="button" onClick={() => viewer.library.again()}>
              <Icon name="retry" />
              {t("app.retry")}
            </button>
          </Note>
        ) : (
          <div class={`reader-cells cells-${viewer.layout.value}`}>
            {viewer.cells.value.map((view, cell) => (
              <Cell key={cell} viewer={viewer} cell={cell} view={view} />
            ))}
          </div>
        )}
      </div>
    </div>
  );
}

function Trouble({ viewer }: { readonly viewer: StudyViewer }): JSX.Element | null {
  const trouble = viewer.frames.trouble.value;
  const { sharp, total } = viewer.sharpness.value;
  if (trouble !== null) {
    return (
      <p class="reader-line-note" role="status" data-testid="reader-trouble">
        <Icon name="warning" />
        {trouble === "network" ? t("reader.lineBroken") : t(`refused.${toldAs(trouble)}`)}
        <button type="button" class="button small" onClick={() => viewer.frames.again()}>
          {t("app.retry")}
        </button>
      </p>
    );
  }
  if (total === 0 || sharp === total) return null;
  return <progress class="reader-progress" max={total} value={sharp} aria-label={t("reader.coming", { sharp, total })} />;
}

/** Of what was to be laid beside, as long as it is not there. */
function Comparison({ viewer }: { readonly viewer: StudyViewer }): JSX.Element | null {
  const state = looked(viewer).value;
  if (state === "idle") return null;
  return (
    <p class="reader-line-note" role="status" data-testid="compare-note">
      <Icon name={state === "looking" ? "clock" : "warning"} />
      {t(`reader.compare.${state}`)}
      {state === "failed" && (
        <button type="button" class="button small" onClick={() => void compareWithEarlier(viewer)}>
          {t("app.retry")}
        </button>
      )}
      {state !== "looking" && (
        <button type="button" class="button small quiet" onClick={() => forget(viewer)}>
          {t("app.close")}
        </button>
      )}
    </p>
  );
}

function onKey(viewer: StudyViewer, event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof HTMLElement && event.target.matches("input, textarea, select")) return;
  const key = keyOf(event);
  // A button that has the focus keeps the keys that press it.
  if (key === "Space" && event.target instanceof HTMLElement && event.target.matches("button, video")) return;
  const deed = deeds(viewer)[key];
  if (!deed) return;
  event.preventDefault();
  deed();
}

function deeds(viewer: StudyViewer): Readonly<Record<string, () => unknown>> {
  const tools = Object.entries(TOOL_KEYS) as [ToolName, string][];
  const byTool = tools.filter(([tool]) => offersTool(viewer, tool)).map(([tool, key]) => [key, () => (viewer.tool.value = tool)] as const);
  const common = {
    K: () => canLink(viewer) && viewer.link(!viewer.isLinked.peek()),
    C: () => void compareWithEarlier(viewer),
    U: () => viewer.undo(),
  };
  if (!offersPictures(viewer)) return common;
  const presets = hasHounsfield(viewer) ? PRESET_NAMES.map((name, index) => [String(index + 1), () => chooseWindow(viewer, name)] as const) : [];
  return {
    ...common,
    ...Object.fromEntries(byTool),
    ...Object.fromEntries(presets),
    ArrowDown: () => step(viewer, 1),
    ArrowUp: () => step(viewer, -1),
    ArrowRight: () => step(viewer, 1),
    ArrowLeft: () => step(viewer, -1),
    PageDown: () => step(viewer, PAGE),
    PageUp: () => step(viewer, -PAGE),
    Home: () => step(viewer, -Infinity),
    End: () => step(viewer, Infinity),
    Space: () => toggleCine(viewer),
    6: () => chooseWindow(viewer, "auto"),
    7: () => chooseWindow(viewer, "default"),
    0: () => reset(viewer),
    T: () => turn(viewer),
    F: () => mirror(viewer),
    I: () => invert(viewer),
    G: () => (viewer.showsLines.value = !viewer.showsLines.peek()),
  };
}

function step(viewer: StudyViewer, by: number): void {
  const cell = viewer.active.peek();
  const view = viewer.cells.peek()[cell];
  if (view?.series?.state !== "ready") return;
  const { value: series } = view.series;
  const shape = view.content?.plane ? shapeOf(series) : null;
  if (view.content?.plane && shape && typeof shape !== "string") scrollPlane(viewer, cell, view.content.plane, shape, Math.max(-1e6, Math.min(1e6, by)));
  else viewer.scroll(cell, Math.max(-series.pictures.length, Math.min(series.pictures.length, by)));
}
