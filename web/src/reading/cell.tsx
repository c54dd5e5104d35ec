// Owns one cell: whatever kind of series lies in it, and the words where there is nothing to show yet.

import type { ComponentChildren, JSX } from "preact";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import { t } from "../i18n";
import { PlaneCell } from "./mpr";
import { OtherCell } from "./other";
import { StackCell } from "./stack";
import { StudyLine } from "./studyline";
import { VideoCell } from "./video";
import type { CellView, StudyViewer } from "./viewer";

interface CellProps {
  readonly viewer: StudyViewer;
  readonly cell: number;
  readonly view: CellView;
}

/** What lies over the thumbnails' drag and drop. */
export const SERIES_TYPE = "application/x-bridge-series";

export function Cell({ viewer, cell, view }: CellProps): JSX.Element {
  const isActive = viewer.active.value === cell;
  const isAlone = viewer.cells.value.length === 1;
  return (
    <section
      class={isActive && !isAlone ? "reader-cell active" : "reader-cell"}
      data-testid="reader-cell"
      data-cell={cell}
      aria-label={t("reader.cell", { number: cell + 1 })}
      onFocusIn={() => (viewer.active.value = cell)}
      onPointerDown={() => (viewer.active.value = cell)}
      onDragOver={(event) => {
        if (event.dataTransfer?.types.includes(SERIES_TYPE) === true) event.preventDefault();
      }}
      onDrop={(event) => {
        const dropped = event.dataTransfer?.getData(SERIES_TYPE).split(" ") ?? [];
        const [study, series] = dropped;
        if (study === undefined || series === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        viewer.put(cell, { study, series });
      }}
    >
      <StudyLine viewer={viewer} cell={cell} />
      <div class="reader-cell-body">
        <Content viewer={viewer} cell={cell} view={view} />
      </div>
    </section>
  );
}

function Content({ viewer, cell, view }: CellProps): JSX.Element {
  const { content, series } = view;
  if (!content || !series) return <Note>{t("reader.cellEmpty")}</Note>;
  switch (series.state) {
    case "loading":
      return <Note>{t("reader.loadingSeries")}</Note>;
    case "failed":
      return (
        <Note>
          <span role="alert">{t(`refused.${toldAs(series.code)}`)}</span>
          <button type="button" class="button" onClick={() => viewer.library.again()}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        </Note>
      );
    case "ready":
      break;
  }
  const { value } = series;
  switch (value.kind) {
    case "pictures":
      return content.plane ? (
        <PlaneCell key={`${value.uid}-${content.plane}`} viewer={viewer} cell={cell} series={value} plane={content.plane} />
      ) : (
        <StackCell key={value.uid} viewer={viewer} cell={cell} series={value} />
      );
    case "video":
      return <VideoCell key={value.uid} viewer={viewer} cell={cell} series={value} />;
    case "waveform":
    case "document":
      return <OtherCell key={value.uid} viewer={viewer} series={value} />;
    case "none":
      return <Note>{t("reader.nothingToShow")}</Note>;
  }
}

export function Note({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return (
    <div class="reader-cell-note" role="status">
      {children}
    </div>
  );
}
