// Owns the reader's tools: few, large, each with a word, a sign and a key.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "../components/icons";
import type { IconName } from "../components/icons";
import { t } from "../i18n";
import { chooseWindow, hasHounsfield, invert, mirror, reset, toggleCine, turn } from "./deeds";
import type { WindowChoice } from "./deeds";
import { TOOL_KEYS } from "./keys";
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

const MAIN_TOOLS: readonly ToolName[] = ["scroll", "window", "zoom", "pan", "length"];
const MORE_TOOLS: readonly ToolName[] = ["angle", "ellipse", "rectangle", "pointer"];
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
  const isRunning = viewer.isRunning(viewer.active.value);
  const canRun = viewer.shown.value.some(({ pictures }) => pictures.length > 1) && viewer.layout.value !== "mpr";
  return (
    <div class={isOpen.value ? "reader-tools open" : "reader-tools"} role="toolbar" aria-label={t("reader.tools")}>
      {MAIN_TOOLS.map((tool) => (
        <Tool key={tool} viewer={viewer} tool={tool} />
      ))}
      <WindowChooser viewer={viewer} />
      <LayoutChooser viewer={viewer} />
      <ToolButton icon={isRunning ? "pause" : "play"} word={t(isRunning ? "reader.stop" : "reader.run")} keyName="Space" testId="reader-cine" disabled={!canRun} onPress={() => toggleCine(viewer)} />
      <ToolButton icon="undo" word={t("reader.undo")} keyName="U" testId="reader-undo" disabled={!viewer.canUndo.value} onPress={() => viewer.undo()} />
      <button type="button" class="reader-tool reader-more" data-testid="reader-more" aria-expanded={isOpen.value} onClick={() => (isOpen.value = !isOpen.peek())}>
        <Icon name="more" />
        <span>{t("reader.more")}</span>
      </button>
      <div class="reader-tools-more">
        {MORE_TOOLS.map((tool) => (
          <Tool key={tool} viewer={viewer} tool={tool} />
        ))}
        <ToolButton icon="rotate" word={t("reader.rotate")} keyName="T" testId="reader-rotate" onPress={() => turn(viewer)} />
        <ToolButton icon="flip" word={t("reader.flip")} keyName="F" testId="reader-flip" onPress={() => mirror(viewer)} />
        <ToolButton icon="invert" word={t("reader.invert")} keyName="I" testId="reader-invert" onPress={() => invert(viewer)} />
        <ToolButton icon="link" word={t("reader.link")} keyName="K" testId="reader-link" pressed={viewer.isLinked.value} onPress={() => (viewer.isLinked.value = !viewer.isLinked.peek())} />
        <ToolButton icon="reference" word={t("reader.lines")} keyName="G" testId="reader-lines" pressed={viewer.showsLines.value} onPress={() => (viewer.showsLines.value = !viewer.showsLines.peek())} />
        <ToolButton icon="reset" word={t("reader.reset")} keyName="0" testId="reader-reset" onPress={() => reset(viewer)} />
      </div>
    </div>
  );
}

function Tool({ viewer, tool }: { readonly viewer: StudyViewer; readonly tool: ToolName }): JSX.Element {
  return <ToolButton icon={tool} word={t(`reader.tool.${tool}`)} keyName={TOOL_KEYS[tool]} testId={`reader-tool-${tool}`} pressed={viewer.tool.value === tool} onPress={() => (viewer.tool.value = tool)} />;
}

function WindowChooser({ viewer }: { readonly viewer: StudyViewer }): JSX.Element {
  const choices: readonly WindowChoice[] = ["default", "auto", ...(hasHounsfield(viewer) ? PRESET_NAMES : [])];
  return (
    <label class="reader-choice">
      <span>{t("reader.presets")}</span>
      <select
        data-testid="reader-window"
        value=""
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
