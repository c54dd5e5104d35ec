// Owns showing a sending: how far each study is, how fast, what it waits for, and what was not kept in the end.

import type { JSX } from "preact";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { formatNumber, t } from "../i18n";
import { StudyWords } from "./found";
import type { Sending } from "./sending";
import type { NotKept } from "./tally";
import { formatLength, formatSize, speed } from "./words";

const NAMED_MAX = 200;

interface UnderWayProps {
  readonly sending: Sending;
  readonly onClear: () => void;
}

export function UnderWay({ sending, onClear }: UnderWayProps): JSX.Element {
  const state = sending.state.value;
  const fault = sending.fault.value;
  const { arrivedBytes, bytes } = sending.tally.progress.value;
  return (
    <div class="send-way" data-testid="send-way" data-state={state}>
      <h3 role="status">{headline(sending)}</h3>
      {fault !== null && (
        <Problem code={fault}>
          <p>{t(`refused.${toldAs(fault)}`)}. {t(`refused.${toldAs(fault)}.todo`)}</p>
        </Problem>
      )}
      {state !== "done" && <progress aria-label={t("send.progress")} max={Math.max(1, bytes)} value={arrivedBytes} />}
      <Figures sending={sending} />
      <ul class="send-studies">
        {sending.found.map((study) => (
          <li key={study.uid} class="send-study" data-testid="sent-study">
            <StudyWords study={study} />
            <StudyCount sending={sending} uid={study.uid} />
          </li>
        ))}
      </ul>
      <Acts sending={sending} onClear={onClear} />
      <Lost notKept={sending.tally.notKept.value} />
    </div>
  );
}

function headline(sending: Sending): string {
  const state = sending.state.value;
  const waiting = sending.waiting.value;
  const { total, arrived } = sending.tally.progress.value;
  if (state === "done") return arrived === total ? t("send.done", { count: total }) : t("send.doneSome", { arrived: formatNumber(arrived), total: formatNumber(total) });
  if (state === "failed" || state === "stopped" || state === "paused") return t(`send.state.${state}`);
  return waiting === null ? t(`send.state.${state}`) : t(`send.waiting.${waiting}`);
}

function Figures({ sending }: { readonly sending: Sending }): JSX.Element {
  const { total, arrived, before, bytes, arrivedBytes, bytesPerS, leftS } = sending.tally.progress.value;
  const running = sending.state.value === "sending" && sending.waiting.value === null;
  return (
    <p class="send-figures" data-testid="send-figures">
      <span>{t("send.arrived", { arrived: formatNumber(arrived), total: formatNumber(total) })}</span>
      {!sending.isOver() && <span>{t("send.bytes", { arrived: formatSize(arrivedBytes), all: formatSize(bytes) })}</span>}
      {running && bytesPerS !== null && <span>{speed(bytesPerS)}</span>}
      {running && leftS !== null && arrivedBytes < bytes && <span>{t("send.left", { time: formatLength(leftS * 1000) })}</span>}
      {before > 0 && <span>{t("send.before", { count: before })}</span>}
    </p>
  );
}

function StudyCount({ sending, uid }: { readonly sending: Sending; readonly uid: string }): JSX.Element | null {
  const study = sending.tally.studies.value.find((each) => each.uid === uid);
  if (study === undefined) return null;
  const all = study.arrived === study.total;
  return (
    <span class="send-count" data-testid="study-count">
      {all && <Icon name="check" />}
      {t("send.count", { arrived: formatNumber(study.arrived), total: formatNumber(study.total) })}
    </span>
  );
}

function Acts({ sending, onClear }: UnderWayProps): JSX.Element {
  const state = sending.state.value;
  if (sending.isOver()) {
    return (
      <div class="send-acts">
        <button type="button" class="button large" data-testid="send-again" onClick={onClear}>
          <Icon name="plus" />
          {t("send.again")}
        </button>
      </div>
    );
  }
  return (
    <div class="send-acts">
      {state === "paused" ? (
        <button type="button" class="button large primary" data-testid="send-go-on" onClick={() => sending.goOn()}>
          <Icon name="play" />
          {t("send.goOn")}
        </button>
      ) : (
        <button type="button" class="button large" data-testid="send-pause" aria-disabled={state !== "sending"} onClick={() => sending.pause()}>
          <Icon name="pause" />
          {t("send.pause")}
        </button>
      )}
      <button type="button" class="button" data-testid="send-stop" onClick={() => sending.stop()}>
        <Icon name="stop" />
        {t("send.stop")}
      </button>
    </div>
  );
}

function Lost({ notKept }: { readonly notKept: readonly NotKept[] }): JSX.Element | null {
  if (notKept.length === 0) return null;
  const whys = [...new Set(notKept.map(({ why }) => why))];
  return (
    <Problem code="notKept" mild>
      {whys.map((why) => {
        const paths = notKept.filter((each) => each.why === why).map(({ path }) => path);
        return (
          <details key={why} data-testid="not-kept">
            <summary>
              {t(`send.notKept.${why}`)} ({formatNumber(paths.length)})
            </summary>
            <ul>
              {paths.slice(0, NAMED_MAX).map((path) => (
                <li key={path}>
                  <bdi>{path}</bdi>
                </li>
              ))}
            </ul>
          </details>
        );
      })}
    </Problem>
  );
}
