// Owns the page before a session: who invites to what, the three previews, and the one button.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { InviteInfo } from "../api";
import { useClient } from "../components/context";
import { MicrophonePreview, PicturePreview } from "../components/devices";
import { guessDevices } from "../components/guess";
import { Page } from "../components/header";
import { Icon } from "../components/icons";
import { rememberName, rememberedName } from "../components/preferences";
import { Problem } from "../components/problem";
import { language, t } from "../i18n";
import { NAME_MAX_CHARACTERS } from "../protocol";
import type { Role } from "../protocol";
import type { Client } from "../state";
import { useInvitation } from "./invitation";
import { checkLink, eventLink } from "./link";
import { EndedPage, Refusal } from "./outcome";

interface JoinProps {
  readonly token: string;
  /** The link ends in `&now`: no question about devices. */
  readonly now: boolean;
}

export function JoinPage({ token, now }: JoinProps): JSX.Element {
  const invitation = useInvitation(token);
  if (invitation.state === "refused" && invitation.code === "sessionEnded") return <EndedPage token={token} />;
  if (invitation.state === "refused") return <Refusal code={invitation.code} onAgain={null} />;
  return (
    <Page wide title={t("join.button")}>
      {invitation.state === "asking" ? (
        <p class="waiting" role="status">
          {t("join.checking")}
        </p>
      ) : now ? (
        <JoinNow token={token} info={invitation.info} />
      ) : (
        <JoinForm token={token} info={invitation.info} />
      )}
    </Page>
  );
}

function JoinNow({ token, info }: { readonly token: string; readonly info: InviteInfo }): JSX.Element {
  const client = useClient();
  useEffect(() => {
    const name = rememberedName() || info.point || t(`role.${info.role}`);
    client.join({ token, name, language: language.peek() });
  }, [client, token, info]);
  return (
    <p class="waiting" role="status">
      <Coming client={client} />
    </p>
  );
}

function JoinForm({ token, info }: { readonly token: string; readonly info: InviteInfo }): JSX.Element {
  const client = useClient();
  const [name, setName] = useState(rememberedName);
  const [nameMissing, setNameMissing] = useState(false);
  const shown = info.role === "viewer" ? [] : previewsFor(info.role);
  useEffect(() => {
    if (info.role !== "viewer") void startDevices(client, info.role);
  }, [client, info.role]);
  const phase = client.phase.value;
  const joining = phase.name === "joining";
  const anything = [...client.locals.value.values()].some(({ state }) => state === "live");

  const join = (): void => {
    const wish = name.trim();
    if (wish === "") {
      setNameMissing(true);
      document.getElementById("name")?.focus();
      return;
    }
    rememberName(wish);
    client.join({ token, name: wish, language: language.value });
  };

  return (
    <form
      class="join"
      data-role={info.role}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!joining) join();
      }}
    >
      <div class="join-head">
        <p class="join-host">{t("join.invites", { host: info.host })}</p>
        <h1>{info.session.title}</h1>
        <p class="join-kind">{t(`kind.${info.session.kind}`)}</p>
      </div>
      {shown.length > 0 && (
        <div class="previews">
          {shown.map((source) => (
            <PicturePreview key={source} source={source} />
          ))}
        </div>
      )}
      <div class="join-foot">
        <p class="join-role">
          {info.point === ""
            ? t("join.as", { role: t(`role.${info.role}`) })
            : t("join.asAt", { role: t(`role.${info.role}`), point: info.point })}
        </p>
        {info.role !== "viewer" && <MicrophonePreview />}
        <label class="field" for="name">
          <span>{t("join.name")}</span>
          <input
            id="name"
            type="text"
            data-testid="name-input"
            value={name}
            maxLength={NAME_MAX_CHARACTERS}
            autocomplete="name"
            placeholder={t("join.nameHint")}
            aria-required="true"
            aria-invalid={nameMissing}
            aria-describedby={nameMissing ? "name-missing" : undefined}
            onInput={(event) => {
              setName(event.currentTarget.value);
              setNameMissing(false);
            }}
          />
        </label>
        {nameMissing && (
          <Problem code="nameMissing">
            <p id="name-missing">{t("join.nameMissing")}</p>
          </Problem>
        )}
        {joining && phase.attempt > 1 && (
          <Problem code="network">
            <p>{t("refused.noNetwork")}</p>
            <p>{t("refused.noNetwork.todo")}</p>
          </Problem>
        )}
        {info.session.record !== "never" && (
          <p class="join-recorded" data-testid="join-recorded">
            <Icon name="record" />
            {t(info.session.consent ? "join.recordedAsked" : "join.recorded")}
          </p>
        )}
        {joining && phase.turn && (
          <p class="waiting" role="status" data-testid="join-turn" data-reason={phase.turn.reason}>
            <Coming client={client} />
          </p>
        )}
        <div class="join-go">
          <button type="submit" class="button primary huge" data-testid="join-button" aria-disabled={joining}>
            <Icon name="play" />
            {joining ? t("join.joining") : t(anything || info.role === "viewer" ? "join.button" : "join.buttonNothing")}
          </button>
        </div>
        <p class="note">{t(info.role === "viewer" ? "join.viewerNote" : "join.optional")}</p>
        {info.session.format === "event" && (info.role === "organiser" || info.role === "hub") && (
          <a class="button" href={eventLink(token)} data-testid="to-event">
            <Icon name="wall" />
            {t("event.open")}
          </a>
        )}
        {info.session.format === "event" && (
          <a class="button quiet" href={checkLink(token)} data-testid="to-check">
            <Icon name="line" />
            {t("linecheck.offer")}
          </a>
        )}
      </div>
    </form>
  );
}

/** Connecting, or why one is not in yet. */
function Coming({ client }: { readonly client: Client }): JSX.Element {
  const phase = client.phase.value;
  const turn = phase.name === "joining" ? phase.turn : undefined;
  if (turn === undefined) return <>{t("join.joining")}</>;
  if (turn.reason === "lobby") return <>{t("join.lobby")}</>;
  return <>{t("join.pacing", { place: turn.place })}</>;
}

/** A clinic is there for its ultrasound, so that comes first; an organiser has none. */
function previewsFor(role: Role): readonly ("camera" | "ultrasound")[] {
  if (role === "satellite") return ["ultrasound", "camera"];
  return role === "hub" ? ["camera", "ultrasound"] : ["camera"];
}

/** Camera and microphone at once; the ultrasound when it was chosen before, or when a device is named like a capture card. */
async function startDevices(client: Client, role: Role): Promise<void> {
  await Promise.all([client.start("camera"), client.start("microphone")]);
  await client.refreshDevices();
  if (role === "organiser" || client.locals.peek().get("ultrasound")?.state === "live") return;
  const remembered = client.rememberedDevice("ultrasound");
  const { cameras } = client.devices.peek();
  if (remembered !== null && cameras.some(({ id }) => id === remembered)) {
    await client.start("ultrasound", remembered);
    return;
  }
  if (role !== "satellite") return;
  const guess = guessDevices(cameras, client.locals.peek().get("camera")?.deviceId ?? null);
  if (guess.camera !== null) await client.start("camera", guess.camera);
  if (guess.ultrasound !== null) await client.start("ultrasound", guess.ultrasound);
}
