// Owns the links of one session: copying, adding one for a role and point, withdrawing one.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId } from "preact/hooks";
import { ApiError } from "../api";
import type { Api, InviteEntry, NewInvite, Point } from "../api";
import { toldAs } from "../components/context";
import { Confirm } from "../components/dialog";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { formatWhen, t } from "../i18n";
import type { Role, SessionId } from "../protocol";
import type { Fault } from "./loading";

const COPIED_SHOWN_MS = 3_000;
const ROLES: readonly Role[] = ["satellite", "hub", "viewer", "organiser"];
const SEATS_MAX = 1000;

interface InviteRowProps {
  readonly api: Api;
  readonly session: SessionId;
  readonly invite: InviteEntry;
  readonly onChanged: () => void;
}

export function InviteRow({ api, session, invite, onChanged }: InviteRowProps): JSX.Element {
  const asked = useSignal(false);
  const fault = useSignal<Fault>(null);
  const revoke = (): void => {
    api.revokeInvite(session, invite.id).then(onChanged, (error: unknown) => (fault.value = faultOf(error)));
  };
  return (
    <li class="invite" data-testid="invite" data-role={invite.role}>
      <span class="invite-who">
        <strong>{t(`role.${invite.role}`)}</strong>
        {invite.point !== "" && <span>{invite.point}</span>}
        <small>
          {t(`role.${invite.role}.explain`)} · {t("sessions.seats", { count: invite.seats })} ·{" "}
          {t("sessions.expires", { when: formatWhen(invite.expiresAt, Date.now()) })}
        </small>
      </span>
      <span class="invite-actions">
        <CopyLink role={invite.role} link={async () => (await api.inviteLink(session, invite.id)).link} />
        <button type="button" class="button quiet" data-testid="revoke" onClick={() => (asked.value = true)}>
          <Icon name="close" />
          {t("sessions.revoke")}
        </button>
      </span>
      {fault.value !== null && <Failed fault={fault.value} />}
      {asked.value && (
        <Confirm question={t("sessions.revokeAsk")} yes={t("sessions.revoke")} onYes={revoke} onClose={() => (asked.value = false)} />
      )}
    </li>
  );
}

export function CopyLink({ role, link }: { readonly role: Role; readonly link: () => Promise<string> }): JSX.Element {
  const copied = useSignal(false);
  /** Where the browser does not let us copy (no encryption, no permission), the link itself is shown. */
  const shown = useSignal<string | null>(null);
  const fault = useSignal<Fault>(null);
  useEffect(() => {
    if (!copied.value) return;
    const timer = setTimeout(() => (copied.value = false), COPIED_SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied.value, copied]);
  const copy = async (): Promise<void> => {
    try {
      const text = await link();
      fault.value = null;
      try {
        await navigator.clipboard.writeText(text);
        copied.value = true;
        shown.value = null;
      } catch {
        shown.value = text;
      }
    } catch (error) {
      fault.value = faultOf(error);
    }
  };
  return (
    <>
      <button type="button" class="button" data-testid="copy-link" data-role={role} onClick={() => void copy()}>
        <Icon name={copied.value ? "check" : "copy"} />
        <span role="status">{t(copied.value ? "sessions.copied" : "sessions.copy")}</span>
      </button>
      {shown.value !== null && (
        <label class="field shown-link">
          <span>{t("sessions.copyFailed")}</span>
          <input
            type="text"
            readOnly
            value={shown.value}
            data-testid="shown-link"
            onFocus={(event) => event.currentTarget.select()}
          />
        </label>
      )}
      {fault.value !== null && <Failed fault={fault.value} />}
    </>
  );
}

interface InviteFormProps {
  readonly api: Api;
  readonly session: SessionId;
  readonly onCreated: () => void;
}

export function InviteForm({ api, session, onCreated }: InviteFormProps): JSX.Element {
  const role = useSignal<Role>("satellite");
  const point = useSignal("");
  const seats = useSignal(1);
  const busy = useSignal(false);
  const fault = useSignal<Fault>(null);
  const points = useSignal<readonly Point[]>([]);
  const listId = useId();
  useEffect(() => {
    // Suggestions only: any name may be written.
    api.points().then(
      (found) => (points.value = found),
      () => undefined,
    );
  }, [api, points]);
  const create = async (): Promise<void> => {
    if (busy.value) return;
    busy.value = true;
    try {
      const name = point.value.trim();
      const wish: NewInvite = { role: role.value, seats: seats.value, ...(name === "" ? {} : { point: name }) };
      await api.createInvite(session, wish);
      fault.value = null;
      point.value = "";
      onCreated();
    } catch (error) {
      fault.value = faultOf(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <form
      class="invite-form"
      aria-label={t("sessions.addInvite")}
      onSubmit={(event) => {
        event.preventDefault();
        void create();
      }}
    >
      <label class="field">
        <span>{t("sessions.inviteRole")}</span>
        <select data-testid="invite-role" value={role.value} onChange={(event) => (role.value = event.currentTarget.value as Role)}>
          {ROLES.map((one) => (
            <option key={one} value={one}>
              {t(`role.${one}`)}
            </option>
          ))}
        </select>
      </label>
      <label class="field grow">
        <span>{t("sessions.invitePoint")}</span>
        <input
          type="text"
          data-testid="invite-point"
          value={point.value}
          maxLength={80}
          list={listId}
          placeholder={t("sessions.invitePointHint")}
          autocomplete="off"
          onInput={(event) => (point.value = event.currentTarget.value)}
        />
        <datalist id={listId}>
          {points.value.map(({ id, name, organisation }) => (
            <option key={id} value={name}>
              {organisation}
            </option>
          ))}
        </datalist>
      </label>
      <label class="field seats">
        <span>{t("sessions.inviteSeats")}</span>
        <input
          type="number"
          min={1}
          max={SEATS_MAX}
          value={seats.value}
          onInput={(event) => (seats.value = Math.min(SEATS_MAX, Math.max(1, Math.round(event.currentTarget.valueAsNumber) || 1)))}
        />
      </label>
      <button type="submit" class="button" data-testid="create-invite" aria-disabled={busy.value}>
        <Icon name="plus" />
        {t("sessions.inviteCreate")}
      </button>
      {fault.value !== null && <Failed fault={fault.value} />}
    </form>
  );
}

function Failed({ fault }: { readonly fault: Exclude<Fault, null> }): JSX.Element {
  return (
    <Problem code={fault}>
      <p>{t("said.failed", { reason: t(`refused.${toldAs(fault)}`) })}</p>
    </Problem>
  );
}

function faultOf(error: unknown): Exclude<Fault, null> {
  return error instanceof ApiError ? error.code : "internal";
}
