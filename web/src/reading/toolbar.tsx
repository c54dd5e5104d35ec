// Owns the reader's tools: few, large, each with a word, a sign and a key. One row; what does not fit into it lies behind "more".

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "../components/icons";
import type { IconName } from "../components/icons";
import { t } from "../i18n";
import { chooseWindow, hasHounsfield, invert, mirror, reset, toggleCine, turn } from "./deeds";
import type { WindowChoice } from "./deeds";
import { compareWithEarlier } from "./earlier";
import { useFitting } from "./fitting";
import { TOOL_KEYS } from "./keys";
import { canLink, hasPictures, offersPictures, offersTool } from "./offers";
import type { LayoutName } from "./view";
import type { StudyViewer, ToolName } from "./viewer";
import { PRESET_NAMES } from "./windows";

interface ButtonProps {
  readonly icon: IconName;
  readonly word: string;
  readonly keyName: string;
  readonly testId: string;
  readonly pressed?: boolean;
  readonly disabled?: boolean;
  readonly onPress: () => void;
}

interface ToolItem {
  readonly id: string;
  readonly draw: () => JSX.Element;
}

const MAIN_TOOLS: readonly ToolName[] = ["scroll", "window", "zoom", "length", "pan"];
const MORE_TOOLS: readonly ToolName[] = ["pointer", "angle", "ellipse", "rectangle"];
const LAYOUTS: readonly LayoutName[] = ["1x1", "1x2", "2x2", "mpr"];

export function ToolButton({ icon, word, keyName, testId, pressed, disabled = false, onPress }: ButtonProps): JSX.Element {
  return (
    <button
      type="button"
      class={pressed === true ? "reader-tool lit" : "reader-tool"}
      data-testid={testId}
      aria-pressed={pressed}
      aria-disabled={disabled}
      aria-keyshortcuts={keyName}
      title={`${word} (${keyName})`}
      onClick={() => {
        if (!disabled) onPress();
      }}
    >
      <Icon name={icon} />
      <span>{word}</span>
    </button>
  );
}

export function Toolbar({ viewer }: { readonly viewer: StudyViewer }): JSX.Element {
  const isOpen = useSignal(false);
  const items = itemsOf(viewer);
  const [row, fitting] = useFitting(items.map(({ id }) => id).join());
  const rest = items.slice(fitting);
  return (
    <div
      class="reader-tools"
      onKeyDown={(event) => {
        if (event.key === "Escape" && isOpen.peek()) {
          isOpen.value = false;
          event.preventDefault();
          event.stopPropagation();
        }
      }}
    >
      <div ref={row} class="reader-tools-row" role="toolbar" aria-label={t("reader.tools")}>
        {items.slice(0, fitting).map(({ id, draw }) => (
          <span key={id} class="reader-tool-place">
            {draw()}
          </span>
        ))}
        {(rest.length > 0 || fitting === Infinity) && (
          <button type="button" class="reader-tool reader-more" data-testid="reader-more" aria-expanded={isOpen.value} onClick={() => (isOpen.value = !isOpen.peek())}>
            <Icon name="more" />
            <span>{t("reader.more")}</span>
          </button>
        )}
      </div>
      {isOpen.value && rest.length > 0 && (
        <div
          class="reader-tools-more"
          data-testid="reader-tools-more"
          onClick={(event) => {
            // A list stays until something is chosen from it.
            if (event.target instanceof Element && event.target.closest("button")) isOpen.value = false;
          }}
          onChange={() => (isOpen.value = false)}
        >
          {rest.map(({ id, draw }) => (
            <span key={id} class="reader-tool-place">
              {draw()}
            </span>
          ))}
        </div>
      )}
    </div>
  );
}

/** What is needed most comes first. */
function itemsOf(viewer: StudyViewer): readonly ToolItem[] {
  const offers = offersPictures(viewer);
  const layout: ToolItem = { id: "layout", draw: () => <LayoutChooser viewer={viewer} /> };
  const compare: ToolItem = {
    id: "compare",
    draw: () => <ToolButton icon="compare" word={t("reader.compare")} keyName="C" testId="reader-compare" onPress={() => void compareWithEarlier(viewer)} />,
  };
  const link: readonly ToolItem[] = canLink(viewer)
    ? [{ id: "link", draw: () => <ToolButton icon="link" word={t("reader.link")} keyName="K" testId="reader-link" pressed={viewer.isLinked.value} onPress={() => viewer.link(!viewer.isLinked.peek())} /> }]
    : [];
  if (!hasPictures(viewer)) return [layout, compare];
  const [scroll, window, zoom, length, pan] = MAIN_TOOLS.map((tool) => toolItem(viewer, tool));
  return [
    ...[scroll, window, zoom, length].filter((each) => each !== undefined),
    ...link,
    ...[pan].filter((each) => each !== undefined),
    { id: "presets", draw: () => <WindowChooser viewer={viewer} disabled={!offers} /> },
    layout,
    compare,
    { id: "cine", draw: () => <Cine viewer={viewer} /> },
    { id: "undo", draw: () => <ToolButton icon="undo" word={t("reader.undo")} keyName="U" testId="reader-undo" disabled={!viewer.canUndo.value} onPress={() => viewer.undo()} /> },
    ...MORE_TOOLS.map((tool) => toolItem(viewer, tool)),
    { id: "invert", draw: () => <ToolButton icon="invert" word={t("reader.invert")} keyName="I" testId="reader-invert" disabled={!offers} onPress={() => invert(viewer)} /> },
    { id: "rotate", draw: () => <ToolButton icon="rotate" word={t("reader.rotate")} keyName="T" testId="reader-rotate" disabled={!offers} onPress={() => turn(viewer)} /> },
    { id: "flip", draw: () => <ToolButton icon="flip" word={t("reader.flip")} keyName="F" testId="reader-flip" disabled={!offers} onPress={() => mirror(viewer)} /> },
    { id: "lines", draw: () => <ToolButton icon="reference" word={t("reader.lines")} keyName="G" testId="reader-lines" pressed={viewer.showsLines.value} onPress={() => (viewer.showsLines.value = !viewer.showsLines.peek())} /> },
    { id: "reset", draw: () => <ToolButton icon="reset" word={t("reader.reset")} keyName="0" testId="reader-reset" disabled={!offers} onPress={() => reset(viewer)} /> },
  ];
}

function toolItem(viewer: StudyViewer, tool: ToolName): ToolItem {
  return {
    id: tool,
    draw: () => (
      <ToolButton
        icon={tool}
        word={t(`reader.tool.${tool}`)}
        keyName={TOOL_KEYS[tool]}
        testId={`reader-tool-${tool}`}
        pressed={viewer.tool.value === tool}
        disabled={!offersTool(viewer, tool)}
        onPress={() => (viewer.tool.value = tool)}
      />
    ),
  };
}

function Cine({ viewer }: { readonly viewer: StudyViewer }): JSX.Element {
  const isRunning = viewer.isRunning(viewer.active.value);
  const canRun = offersPictures(viewer) && viewer.shown.value.some(({ pictures }) => pictures.length > 1) && viewer.layout.value !== "mpr";
  return <ToolButton icon={isRunning ? "pause" : "play"} word={t(isRunning ? "reader.stop" : "reader.run")} keyName="Space" testId="reader-cine" disabled={!canRun} onPress={() => toggleCine(viewer)} />;
}

function WindowChooser({ viewer, disabled }: { readonly viewer: StudyViewer; readonly disabled: boolean }): JSX.Element {
  const choices: readonly WindowChoice[] = ["default", "auto", ...(hasHounsfield(viewer) ? PRESET_NAMES : [])];
  return (
    <label class="reader-choice">
      <span>{t("reader.presets")}</span>
      <select
        data-testid="reader-window"
        value=""
        disabled={disabled}
        onChange={(event) => {
          const { currentTarget: list } = event;
          const choice = choices.find((each) => each === list.value);
          list.value = "";
          if (choice) chooseWindow(viewer, choice);
        }}
      >
        <option value="">{t("reader.presetChoose")}</option>
        {choices.map((choice) => (
          <option key={choice} value={choice}>
            {t(`reader.preset.${choice}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

function LayoutChooser({ viewer }: { readonly viewer: StudyViewer }): JSX.Element {
  return (
    <label class="reader-choice">
      <span>{t("reader.layout")}</span>
      <select
        data-testid="reader-layout"
        value={viewer.layout.value}
        onChange={(event) => {
          const layout = LAYOUTS.find((each) => each === event.currentTarget.value);
          if (layout) viewer.arrange(layout);
        }}
      >
        {LAYOUTS.map((layout) => (
          <option key={layout} value={layout}>
            {t(`reader.layouts.${layout}`)}
          </option>
        ))}
      </select>
    </label>
  );
}
