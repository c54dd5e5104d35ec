// Owns showing what was found before anything is sent: whose studies, how many pictures, what is left out and why.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Icon } from "../components/icons";
import { formatDay, formatNumber, t } from "../i18n";
import type { FoundStudy, LeftOut, Why } from "./findings";
import type { SendRoom } from "./room";
import { formatSize, modalities, patient } from "./words";

/** More names than these nobody reads. */
const NAMED_MAX = 200;

export function Found({ room }: { readonly room: SendRoom }): JSX.Element {
  const findings = room.findings.value;
  const studies = findings?.studies ?? [];
  const chosen = room.chosen.value;
  const pictures = chosen.reduce((sum, study) => sum + study.pictures.length, 0);
  const bytes = chosen.reduce((sum, study) => sum + study.sizeBytes, 0);
  return (
    <div class="send-found" data-testid="send-found">
      {studies.length > 0 && (
        <>
          <h3>{t("send.found", { count: studies.length })}</h3>
          <p class="note">{t("send.checkPatient")}</p>
          <ul class="send-studies">
            {studies.map((study) => (
              <StudyRow key={study.uid} study={study} room={room} />
            ))}
          </ul>
        </>
      )}
      <Unlisted room={room} />
      {studies.length > 0 && (
        <div class="send-acts">
          <button type="button" class="button large primary" data-testid="send-start" aria-disabled={pictures === 0} onClick={() => room.send()}>
            <Icon name="send" />
            {t("send.start", { count: pictures, size: formatSize(bytes) })}
          </button>
          <button type="button" class="button" data-testid="send-cancel" onClick={() => room.clear()}>
            {t("app.cancel")}
          </button>
        </div>
      )}
      <LeftOutList leftOut={findings?.leftOut ?? []} />
    </div>
  );
}

function StudyRow({ study, room }: { readonly study: FoundStudy; readonly room: SendRoom }): JSX.Element {
  const taken = !room.without.value.has(study.uid);
  const choose = (take: boolean): void => {
    const without = new Set(room.without.peek());
    if (take) without.delete(study.uid);
    else without.add(study.uid);
    room.without.value = without;
  };
  return (
    <li>
      <label class="check send-study" data-testid="found-study">
        <input type="checkbox" checked={taken} onChange={(event) => choose(event.currentTarget.checked)} />
        <StudyWords study={study} />
      </label>
    </li>
  );
}

export function StudyWords({ study }: { readonly study: FoundStudy }): JSX.Element {
  return (
    <span class="send-words">
      <strong>
        <bdi>{patient(study)}</bdi>
      </strong>
      <span>
        {modalities(study)}
        {study.date !== "" && <> · {formatDay(study.date.replaceAll(".", ""))}</>}
      </span>
      <span class="note">
        {study.description !== "" && (
          <>
            <bdi>{study.description}</bdi> ·{" "}
          </>
        )}
        {t("send.pictures", { count: study.pictures.length })}, {formatSize(study.sizeBytes)}
      </span>
    </span>
  );
}

function Unlisted({ room }: { readonly room: SendRoom }): JSX.Element | null {
  const count = room.unlistedToo.value ? 0 : (room.findings.value?.unlisted.length ?? 0);
  if (count === 0 && !room.unlistedToo.value) return null;
  return (
    <label class="check" data-testid="send-unlisted">
      <input type="checkbox" checked={room.unlistedToo.value} onChange={(event) => (room.unlistedToo.value = event.currentTarget.checked)} />
      {room.unlistedToo.value ? t("send.unlistedTaken") : t("send.unlisted", { count })}
    </label>
  );
}

function LeftOutList({ leftOut }: { readonly leftOut: readonly LeftOut[] }): JSX.Element | null {
  const byWhy = useMemo(() => grouped(leftOut), [leftOut]);
  if (leftOut.length === 0) return null;
  return (
    <details class="send-left" data-testid="left-out">
      <summary class="button small">
        <Icon name="down" />
        {t("send.leftOut", { count: leftOut.length })}
      </summary>
      {Array.from(byWhy, ([why, paths]) => (
        <div key={why}>
          <p>{t(`send.why.${why}`)}</p>
          <ul>
            {paths.slice(0, NAMED_MAX).map((path) => (
              <li key={path}>
                <bdi>{path}</bdi>
              </li>
            ))}
            {paths.length > NAMED_MAX && <li>{t("send.more", { number: formatNumber(paths.length - NAMED_MAX) })}</li>}
          </ul>
        </div>
      ))}
    </details>
  );
}

function grouped(leftOut: readonly LeftOut[]): ReadonlyMap<Why, readonly string[]> {
  const byWhy = new Map<Why, string[]>();
  for (const { path, why } of leftOut) {
    const known = byWhy.get(why);
    if (known) known.push(path);
    else byWhy.set(why, [path]);
  }
  return byWhy;
}
