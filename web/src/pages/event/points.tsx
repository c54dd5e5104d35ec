// Owns the tab of points: what can be done with all of them, and which of its views is open.

import { useComputed, useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Icon } from "../../components/icons";
import { language, t } from "../../i18n";
import { offer } from "../../replay/download";
import { DeedBar, Deeds } from "./deeds";
import type { EventDesk } from "./desk";
import { POINT_WORDS } from "./editing";
import { Importing } from "./importing";
import { byProvince, found } from "./model";
import type { EventPoint } from "./model";
import { PointDialog } from "./pointdialog";
import { PointTable } from "./pointtable";
import { template } from "./sheet";
import { Sheets } from "./sheets";

type View =
  | { readonly name: "list" }
  | { readonly name: "import" }
  /** Null: of all. */
  | { readonly name: "sheets"; readonly points: readonly EventPoint[] | null };

export function Points({ desk }: { readonly desk: EventDesk }): JSX.Element {
  const deeds = useMemo(() => new Deeds(), []);
  const view = useSignal<View>({ name: "list" });
  const search = useSignal("");
  const list = (): void => {
    view.value = { name: "list" };
  };
  switch (view.value.name) {
    case "import":
      return <Importing desk={desk} deeds={deeds} onClose={list} />;
    case "sheets":
      return <Sheets desk={desk} points={view.value.points} onClose={list} />;
    case "list":
      return (
        <>
          <List desk={desk} deeds={deeds} view={view} search={search} />
          <DeedBar deeds={deeds} own={POINT_WORDS} />
        </>
      );
  }
}

interface ListProps {
  readonly desk: EventDesk;
  readonly deeds: Deeds;
  readonly view: Signal<View>;
  readonly search: Signal<string>;
}

function List({ desk, deeds, view, search }: ListProps): JSX.Element {
  /** The point that is looked at closely, null: a new one, undefined: none. */
  const opened = useSignal<EventPoint | null | undefined>(undefined);
  const { points } = desk.event.value;
  const shown = useComputed(() => desk.event.value.points.filter((point) => found(point, search.value)));
  const groups = useComputed(() => byProvince(shown.value, language.value));
  const isPart = search.value.trim() !== "";
  const importing = (): void => {
    view.value = { name: "import" };
  };
  return (
    <>
      {points.length === 0 ? (
        <Nothing desk={desk} onImport={importing} onAdd={() => (opened.value = null)} />
      ) : (
        <>
          <div class="event-tools">
            <label class="event-search">
              <Icon name="zoom" />
              <span class="unseen">{t("event.search")}</span>
              <input
                type="search"
                data-testid="point-search"
                placeholder={t("event.search")}
                value={search.value}
                onInput={(event) => (search.value = event.currentTarget.value)}
              />
            </label>
            {desk.changes && (
              <>
                <button type="button" class="button" data-testid="import" onClick={importing}>
                  <Icon name="send" />
                  {t("event.import")}
                </button>
                <button type="button" class="button" data-testid="add-point" onClick={() => (opened.value = null)}>
                  <Icon name="plus" />
                  {t("event.addPoint")}
                </button>
              </>
            )}
            {desk.manages && (
              <>
                <button
                  type="button"
                  class="button"
                  data-testid="print-sheets"
                  aria-disabled={shown.value.length === 0}
                  onClick={() => shown.value.length > 0 && (view.value = { name: "sheets", points: isPart ? shown.value : null })}
                >
                  <Icon name="print" />
                  {isPart ? t("event.sheetsOf", { count: shown.value.length }) : t("event.sheets")}
                </button>
                <SaveLinks desk={desk} deeds={deeds} />
              </>
            )}
          </div>
          <p class="unseen" role="status">
            {isPart && t("event.points", { count: shown.value.length })}
          </p>
          {shown.value.length === 0 ? (
            <p class="note">{t("event.nothingFound")}</p>
          ) : (
            <PointTable
              desk={desk}
              groups={groups.value}
              onOpen={(point) => (opened.value = point)}
              onSheet={(point) => (view.value = { name: "sheets", points: [point] })}
            />
          )}
        </>
      )}
      {opened.value !== undefined && <PointDialog desk={desk} deeds={deeds} point={opened.value} onClose={() => (opened.value = undefined)} />}
    </>
  );
}

function SaveLinks({ desk, deeds }: { readonly desk: EventDesk; readonly deeds: Deeds }): JSX.Element {
  const save = (): Promise<boolean> =>
    deeds.run(async () => {
      offer(await desk.api.links(language.peek()), "points.csv");
      return { words: () => t("event.did.links"), undo: null };
    });
  return (
    <button type="button" class="button" data-testid="save-links" aria-disabled={deeds.busy.value} onClick={() => void save()}>
      <Icon name="download" />
      {t("event.links")}
    </button>
  );
}

interface NothingProps {
  readonly desk: EventDesk;
  readonly onImport: () => void;
  readonly onAdd: () => void;
}

function Nothing({ desk, onImport, onAdd }: NothingProps): JSX.Element {
  if (!desk.changes) return <p class="note">{t("event.noPoints")}</p>;
  return (
    <div class="event-nothing" data-testid="no-points">
      <h2>{t("event.noPoints")}</h2>
      <p>{t("event.noPointsHint")}</p>
      <div class="event-tools">
        <button type="button" class="button primary large" data-testid="import" onClick={onImport}>
          <Icon name="send" />
          {t("event.import")}
        </button>
        <button type="button" class="button large" data-testid="template" onClick={() => offer(template(language.peek()), "points.csv")}>
          <Icon name="download" />
          {t("event.template")}
        </button>
        <button type="button" class="button large" data-testid="add-point" onClick={onAdd}>
          <Icon name="plus" />
          {t("event.addPoint")}
        </button>
      </div>
    </div>
  );
}
