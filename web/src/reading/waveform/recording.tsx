// Owns one group on its paper: speed, gain, arrangement, the stretch of time shown, and the facts around it.

import { useComputed, useSignal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { formatNumber, t } from "../../i18n";
import type { Mark } from "../view";
import { CALIPER, calipersOn, measure, pointsOf } from "./calipers";
import type { Caliper } from "./calipers";
import { CardDialog } from "./card";
import type { Group, WaveformObject } from "./model";
import { GAINS, isTwelveLead, paperOf, SHEET_S, SPEEDS } from "./paper";
import type { Arrangement, Paper, Scale } from "./paper";
import type { Samples } from "./samples";
import { screen } from "./screen";
import { Sheet } from "./sheet";

interface RecordingProps {
  readonly series: string;
  readonly instance: string;
  readonly object: WaveformObject;
  readonly group: Group;
  readonly index: number;
  readonly samples: Samples;
  readonly marks: readonly (Mark & { readonly id: string })[];
  readonly onMark: (id: string, mark: Mark | null) => void;
  readonly name?: string;
}

/** Ten seconds would be too small to read there. */
const NARROW = "(max-width: 45rem)";

export function Recording(props: RecordingProps): JSX.Element {
  const { group, samples } = props;
  const speed = useSignal<Scale["speed"]>(25);
  const gain = useSignal<Scale["gain"]>(10);
  const arrangement = useSignal<Arrangement>(isTwelveLead(group) && samples.seconds >= 2 ? "standard" : "rows");
  const isFitted = useSignal(!window.matchMedia(NARROW).matches);
  // A finger scrolls until it is told to measure.
  const measuring = useSignal(!window.matchMedia("(pointer: coarse)").matches);
  const fromS = useSignal(0);
  const scale = useComputed<Scale>(() => ({ speed: speed.value, gain: gain.value }));
  const paper = useComputed<Paper>(() => paperOf(group, arrangement.value, scale.value, fromS.value, ranges(samples)));
  const widthPx = useSignal(0);
  const pxPerMm = useComputed(() => {
    const own = screen.value.pxPerMm;
    // Only ever smaller: a millimetre that is one is worth more than a full screen.
    return isFitted.value && widthPx.value > 0 ? Math.min(own, widthPx.value / paper.value.width) : own;
  });
  const calipers = calipersOn(props.marks, props.instance, props.index, group);
  const set = (id: string, caliper: Omit<Caliper, "id" | "by">): void => {
    const { series, instance, index, name = "" } = props;
    props.onMark(id, { tool: CALIPER, series, instance, frame: index + 1, points: pointsOf(caliper), text: "", by: name });
  };
  return (
    <>
      <div class="wave-tools" role="toolbar" aria-label={t("waveform.tools")}>
        <Choice label={t("waveform.speed")} values={SPEEDS} chosen={speed} word={(value) => t("waveform.mmPerS", { value })} testId="wave-speed" />
        <Choice label={t("waveform.gain")} values={GAINS} chosen={gain} word={(value) => t("waveform.mmPerMv", { value })} testId="wave-gain" />
        {isTwelveLead(group) && (
          <Choice
            label={t("waveform.arrangement")}
            values={["standard", "rows"] as const}
            chosen={arrangement}
            word={(value) => t(`waveform.arrangement.${value}`)}
            testId="wave-arrangement"
          />
        )}
        <Toggle word={t("waveform.fit")} on={isFitted} testId="wave-fit" />
        <Toggle word={t("waveform.measure")} on={measuring} testId="wave-measure" />
      </div>
      <Sheet paper={paper} scale={scale} samples={samples} pxPerMm={pxPerMm} widthPx={widthPx} measuring={measuring} calipers={calipers} onSet={set} />
      {samples.seconds > SHEET_S && <TimeLine fromS={fromS} seconds={samples.seconds} />}
      <CaliperList calipers={calipers} group={group} onRemove={(id) => props.onMark(id, null)} />
      <Facts {...props} scale={scale} pxPerMm={pxPerMm} />
    </>
  );
}

const known = new WeakMap<Samples, ReturnType<Samples["range"]>[]>();

/** Of the whole recording, so that a channel does not jump from one sheet to the next. */
function ranges(samples: Samples): readonly ReturnType<Samples["range"]>[] {
  const found = known.get(samples);
  if (found) return found;
  const made = samples.group.channels.map((_, channel) => samples.range(channel, 0, samples.seconds));
  known.set(samples, made);
  return made;
}

interface ChoiceProps<T extends string | number> {
  readonly label: string;
  readonly values: readonly T[];
  readonly chosen: Signal<T>;
  readonly word: (value: T) => string;
  readonly testId: string;
}

function Choice<T extends string | number>({ label, values, chosen, word, testId }: ChoiceProps<T>): JSX.Element {
  return (
    <div class="wave-choice" role="group" aria-label={label}>
      {values.map((value) => (
        <button key={value} type="button" class="button small" aria-pressed={chosen.value === value} data-testid={`${testId}-${value}`} onClick={() => (chosen.value = value)}>
          {word(value)}
        </button>
      ))}
    </div>
  );
}

function Toggle({ word, on, testId }: { readonly word: string; readonly on: Signal<boolean>; readonly testId: string }): JSX.Element {
  return (
    <button type="button" class="button small" aria-pressed={on.value} data-testid={testId} onClick={() => (on.value = !on.peek())}>
      {on.value && <Icon name="check" />}
      {word}
    </button>
  );
}

function TimeLine({ fromS, seconds }: { readonly fromS: Signal<number>; readonly seconds: number }): JSX.Element {
  const last = Math.max(0, seconds - SHEET_S);
  const words = t("waveform.shown", { from: formatNumber(fromS.value, 1), to: formatNumber(Math.min(seconds, fromS.value + SHEET_S), 1), all: formatNumber(seconds, 1) });
  return (
    <label class="wave-time">
      <input
        type="range"
        min={0}
        max={last}
        step={Math.min(1, last)}
        value={fromS.value}
        aria-valuetext={words}
        data-testid="wave-time"
        onInput={(event) => (fromS.value = Math.min(last, Math.max(0, event.currentTarget.valueAsNumber)))}
      />
      <span>{words}</span>
    </label>
  );
}

interface CaliperListProps {
  readonly calipers: readonly Caliper[];
  readonly group: Group;
  readonly onRemove: (id: string) => void;
}

function CaliperList({ calipers, group, onRemove }: CaliperListProps): JSX.Element {
  return (
    <ul class="wave-calipers" aria-label={t("waveform.calipers")} aria-live="polite">
      {calipers.length === 0 && <li class="note">{t("waveform.measureHint")}</li>}
      {calipers.map((caliper) => (
        <li key={caliper.id} data-testid="caliper">
          <strong>{group.channels[caliper.channel]?.label}</strong> <span>{said(caliper, group)}</span>
          {caliper.by !== "" && <bdi class="note">{caliper.by}</bdi>}
          <button type="button" class="button small" onClick={() => onRemove(caliper.id)}>
            <Icon name="close" />
            {t("waveform.remove")}
          </button>
        </li>
      ))}
    </ul>
  );
}

function said(caliper: Caliper, group: Group): string {
  const { ms, perMinute, difference, unit } = measure(caliper, group);
  return [
    t("waveform.ms", { value: formatNumber(ms) }),
    ...(perMinute === null ? [] : [t("waveform.perMinute", { value: formatNumber(perMinute) })]),
    `${formatNumber(difference, 2)} ${unit}`.trim(),
  ].join(" · ");
}

interface FactsProps {
  readonly object: WaveformObject;
  readonly group: Group;
  readonly scale: ReadonlySignal<Scale>;
  readonly pxPerMm: ReadonlySignal<number>;
}

function Facts({ object, group, scale, pxPerMm }: FactsProps): JSX.Element {
  const asking = useSignal(false);
  const { isMeasured, pxPerMm: own } = screen.value;
  const { speed, gain } = scale.value;
  const filters = filterWords(group);
  return (
    <div class="wave-facts">
      <p data-testid="wave-scale">
        {t("waveform.square", { time: formatNumber(1 / speed, 2), voltage: formatNumber(1 / gain, 2) })}{" "}
        {pxPerMm.value < own ? t("waveform.fitted") : t(isMeasured ? "waveform.measuredScreen" : "waveform.unmeasuredScreen", { speed, gain })}{" "}
        <button type="button" class="button small" data-testid="wave-card" onClick={() => (asking.value = true)}>
          {t("waveform.card")}
        </button>
      </p>
      {filters !== "" && <p>{filters}</p>}
      {object.findings.length > 0 && (
        <details data-testid="wave-findings" open>
          <summary>{t("waveform.findings")}</summary>
          <ul>
            {object.findings.map(({ name, value }, index) => (
              <li key={index}>
                <bdi>{name === "" ? value : `${name}: ${value}`}</bdi>
              </li>
            ))}
          </ul>
        </details>
      )}
      {asking.value && <CardDialog onClose={() => (asking.value = false)} />}
    </div>
  );
}

/** Of all channels together; nothing is filtered here. */
function filterWords({ channels }: Group): string {
  const [first] = channels;
  const { lowHz, highHz, notchHz } = first?.filters ?? { lowHz: null, highHz: null, notchHz: null };
  const isSame = channels.every(({ filters }) => filters.lowHz === lowHz && filters.highHz === highHz && filters.notchHz === notchHz);
  if (!isSame) return t("waveform.filtersDiffer");
  if (lowHz === null && highHz === null) return "";
  const band = t("waveform.filters", { low: lowHz === null ? "0" : formatNumber(lowHz, 2), high: highHz === null ? "∞" : formatNumber(highHz) });
  return notchHz !== null && notchHz > 0 ? `${band} ${t("waveform.notch", { value: formatNumber(notchHz) })}` : band;
}
