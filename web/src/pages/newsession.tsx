// Owns the form that makes a session.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { ApiError } from "../api";
import type { Api, CreatedSession, NewSession, Usual } from "../api";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { t } from "../i18n";
import { RECORD_MODES, SESSION_KINDS } from "../protocol";
import type { RecordMode, SessionFormat, SessionId, SessionKind } from "../protocol";
import type { Fault } from "./loading";

const TITLE_MAX_CHARACTERS = 200;
const FORMATS: readonly SessionFormat[] = ["consult", "event"];

interface FormProps {
  readonly api: Api;
  /** Null until the server has said it. */
  readonly usual: Usual | null;
  readonly onCreated: (session: SessionId) => void;
}

export function NewSessionForm({ api, usual, onCreated }: FormProps): JSX.Element {
  const title = useSignal("");
  const kind = useSignal<SessionKind>("consultation");
  const format = useSignal<SessionFormat>("consult");
  /** Empty: as many as the server usually gives. */
  const capacity = useSignal("");
  /** Null: as is usual here. */
  const record = useSignal<RecordMode | null>(null);
  const consent = useSignal<boolean | null>(null);
  const busy = useSignal(false);
  const fault = useSignal<Fault>(null);

  const create = async (then: (created: CreatedSession) => void): Promise<void> => {
    if (busy.value || title.value.trim() === "") return;
    busy.value = true;
    try {
      const places = Number.parseInt(capacity.value, 10);
      const wish: NewSession = {
        title: title.value.trim(),
        kind: kind.value,
        format: format.value,
        ...(format.value === "event" && places > 0 ? { capacity: places } : {}),
        ...(record.value === null ? {} : { record: record.value }),
        ...(consent.value === null ? {} : { consent: consent.value }),
      };
      const created = await api.createSession(wish);
      fault.value = null;
      title.value = "";
      then(created);
    } catch (error) {
      fault.value = error instanceof ApiError ? error.code : "internal";
    } finally {
      busy.value = false;
    }
  };

  return (
    <form
      class="card new-session"
      aria-label={t("sessions.new")}
      onSubmit={(event) => {
        event.preventDefault();
        void create(({ session }) => onCreated(session));
      }}
    >
      <h2>{t("sessions.new")}</h2>
      <label class="field" for="title">
        <span>{t("sessions.name")}</span>
        <input
          id="title"
          type="text"
          data-testid="session-title"
          required
          value={title.value}
          maxLength={TITLE_MAX_CHARACTERS}
          placeholder={t("sessions.nameHint")}
          autocomplete="off"
          onInput={(event) => (title.value = event.currentTarget.value)}
        />
      </label>
      <label class="field" for="kind">
        <span>{t("sessions.kind")}</span>
        <select id="kind" data-testid="session-kind" value={kind.value} onChange={(event) => (kind.value = event.currentTarget.value as SessionKind)}>
          {SESSION_KINDS.map((one) => (
            <option key={one} value={one}>
              {t(`kind.${one}`)}
            </option>
          ))}
        </select>
      </label>
      <fieldset class="field radios">
        <legend>{t("sessions.format")}</legend>
        {FORMATS.map((one) => (
          <label class="check" key={one}>
            <input type="radio" name="format" value={one} checked={format.value === one} onChange={() => (format.value = one)} />
            {t(`format.${one}`)}
          </label>
        ))}
      </fieldset>
      {format.value === "event" && (
        <label class="field" for="capacity">
          <span>{t("sessions.capacity")}</span>
          <input
            id="capacity"
            type="number"
            min={2}
            data-testid="session-capacity"
            value={capacity.value}
            onInput={(event) => (capacity.value = event.currentTarget.value)}
          />
        </label>
      )}
      <RecordChoice usual={usual} record={record} consent={consent} />
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{t(`refused.${toldAs(fault.value)}`)}</p>
          <p>{t(`refused.${toldAs(fault.value)}.todo`)}</p>
        </Problem>
      )}
      <button type="submit" class="button primary large" data-testid="create-session" aria-disabled={busy.value}>
        <Icon name="plus" />
        {t(busy.value ? "sessions.creating" : "sessions.create")}
      </button>
      <button
        type="button"
        class="button large"
        data-testid="create-and-start"
        aria-disabled={busy.value || title.value.trim() === ""}
        onClick={() => void create(({ links }) => location.assign(links.hub))}
      >
        <Icon name="play" />
        {t("sessions.startHub")}
      </button>
    </form>
  );
}

interface RecordChoiceProps {
  readonly usual: Usual | null;
  readonly record: Signal<RecordMode | null>;
  readonly consent: Signal<boolean | null>;
}

function RecordChoice({ usual, record, consent }: RecordChoiceProps): JSX.Element {
  const mode = record.value ?? usual?.record ?? null;
  return (
    <fieldset class="field radios">
      <legend>{t("recording.title")}</legend>
      {RECORD_MODES.map((one) => (
        <label class="check" key={one}>
          <input
            type="radio"
            name="record"
            value={one}
            data-testid={`record-${one}`}
            checked={mode === one}
            onChange={() => (record.value = one)}
          />
          {t(`recording.choice.${one}`)}
        </label>
      ))}
      {mode !== "never" && (
        <label class="check">
          <input
            type="checkbox"
            data-testid="ask-consent"
            checked={consent.value ?? usual?.consent ?? false}
            onChange={(event) => (consent.value = event.currentTarget.checked)}
          />
          {t("consent.choice")}
        </label>
      )}
    </fieldset>
  );
}
