// Owns the page on which a point checks its line, days before an event: one button, five steps, a verdict.

import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { InviteInfo } from "../../api";
import { toldAs } from "../../components/context";
import { LevelMeter } from "../../components/devices";
import { Page } from "../../components/header";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { Video } from "../../components/video";
import { t } from "../../i18n";
import { useInvitation } from "../invitation";
import { Refusal } from "../outcome";
import { createLineCheckApi } from "./api";
import { LineCheck } from "./run";
import type { Fault } from "./run";
import { StepList } from "./steplist";
import { checkSurroundings } from "./surroundings";
import { VerdictCard } from "./verdict";

export function CheckPage({ token }: { readonly token: string }): JSX.Element {
  if (token === "") return <Refusal code="notAuthorised" onAgain={null} />;
  return <Invited token={token} />;
}

function Invited({ token }: { readonly token: string }): JSX.Element {
  const invitation = useInvitation(token);
  if (invitation.state === "refused") return <Refusal code={invitation.code} onAgain={null} />;
  return (
    <Page title={t("linecheck.title")}>
      {invitation.state === "asking" ? (
        <p class="waiting" role="status">
          {t("join.checking")}
        </p>
      ) : (
        <Checking token={token} info={invitation.info} />
      )}
    </Page>
  );
}

function Checking({ token, info }: { readonly token: string; readonly info: InviteInfo }): JSX.Element {
  const check = useMemo(() => new LineCheck(createLineCheckApi(token), checkSurroundings()), [token]);
  useLife(check);
  const phase = check.phase.value;
  const begun = phase.name !== "ready";
  return (
    <div class="linecheck" data-testid="line-check" data-phase={phase.name}>
      <div class="check-head">
        <h1>{t("linecheck.title")}</h1>
        <p class="check-for">
          <strong>{info.session.title}</strong>
          {info.point !== "" && <span>{info.point}</span>}
        </p>
      </div>
      {!begun && <p>{t("linecheck.about")}</p>}
      {phase.name === "failed" && <Failed code={phase.code} />}
      {phase.name === "done" && <VerdictCard outcome={phase.outcome} />}
      {begun && (
        <div class="check-body">
          <StepList
            steps={check.steps.value}
            measured={check.measured.value}
            verdict={phase.name === "done" ? phase.outcome.graded : null}
          />
          {phase.name === "running" && <Seen check={check} />}
        </div>
      )}
      <div class="check-go">
        {phase.name === "running" ? (
          <button type="button" class="button large" data-testid="check-stop" onClick={() => check.stop()}>
            <Icon name="stop" />
            {t("linecheck.stop")}
          </button>
        ) : (
          <button
            type="button"
            class={phase.name === "done" ? "button large" : "button primary huge"}
            data-testid="check-start"
            onClick={() => check.start()}
          >
            <Icon name={begun ? "retry" : "play"} />
            {t(begun ? "linecheck.again" : "linecheck.start")}
          </button>
        )}
        {phase.name === "done" && (
          <a class="button large" href={`/join#${token}`} data-testid="check-to-join">
            <Icon name="next" />
            {t("linecheck.toJoin")}
          </a>
        )}
      </div>
      {!begun && <p class="note">{t("linecheck.privacy")}</p>}
    </div>
  );
}

/** Ends with the page, and where the page is no longer looked at. */
function useLife(check: LineCheck): void {
  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    document.addEventListener("visibilitychange", () => document.hidden && check.hidden(), { signal });
    window.addEventListener("pagehide", () => check.stop(), { signal });
    return () => {
      ending.abort();
      check.stop();
    };
  }, [check]);
}

/** What goes out, or what came back of it. */
function Seen({ check }: { readonly check: LineCheck }): JSX.Element {
  const camera = check.camera.value;
  const mirrored = check.mirrored.value;
  const asking = check.steps.value.devices.state === "running";
  return (
    <div class="check-seen">
      {asking && (
        <p class="check-hint" role="status">
          {t("linecheck.allow")}
        </p>
      )}
      {camera && (
        <figure>
          <div class="preview-frame">
            <Video stream={mirrored ?? camera} label={t("join.camera")} testId={mirrored ? "check-mirrored" : "check-camera"} mirrored={!mirrored} />
          </div>
          <figcaption>{t(mirrored ? "linecheck.mirrored" : "linecheck.camera")}</figcaption>
        </figure>
      )}
      {check.measured.value.microphone === "ok" && <LevelMeter level={check.level.value} />}
      {!asking && <p class="note">{t("linecheck.keepOpen")}</p>}
    </div>
  );
}

/** What is told otherwise here than where somebody is refused to a session. */
const OWN = ["network", "tooMany", "notFound", "hidden", "internal"] as const;

function Failed({ code }: { readonly code: Fault }): JSX.Element {
  const own = OWN.find((one) => one === code);
  if (own !== undefined || code === "hidden") {
    return (
      <Problem code={code}>
        <p>{t(`linecheck.failed.${own ?? "internal"}`)}</p>
      </Problem>
    );
  }
  return (
    <Problem code={code}>
      <p>{t(`refused.${toldAs(code)}`)}</p>
      <p>{t(`refused.${toldAs(code)}.todo`)}</p>
    </Problem>
  );
}
