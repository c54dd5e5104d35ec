// Owns the form of one point, new or known, with what else can be done to it: a new link, removing it.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useId, useMemo } from "preact/hooks";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import { Deeds, Failed } from "./deeds";
import type { Deed } from "./deeds";
import type { EventDesk } from "./desk";
import { POINT_WORDS, addPoint, changePoint, removePoint, withLoad } from "./editing";
import { fieldsOf, sameFields, shownName } from "./model";
import type { EventPoint, PointFields } from "./model";

/** As the server has them. */
const LIMITS: Readonly<Record<keyof PointFields, number>> = { province: 80, organisation: 120, name: 120, contact: 200 };
const FIELDS: readonly (keyof PointFields)[] = ["province", "organisation", "name", "contact"];
const EMPTY: PointFields = { province: "", organisation: "", name: "", contact: "" };

interface DialogProps {
  readonly desk: EventDesk;
  readonly deeds: Deeds;
  /** Null: a new one. */
  readonly point: EventPoint | null;
  readonly onClose: () => void;
}

export function PointDialog({ desk, deeds, point, onClose }: DialogProps): JSX.Element {
  /** What goes wrong is told in the dialog; what was done, on the page behind it. */
  const here = useMemo(() => new Deeds(), []);
  const fields = useSignal<PointFields>(point === null ? EMPTY : fieldsOf(point));
  const unnamed = useSignal(false);
  const run = async (work: () => Promise<Deed>): Promise<void> => {
    if (!(await here.run(withLoad(desk.load, work)))) return;
    const done = here.last.peek();
    if (done !== null) deeds.tell(done);
    onClose();
  };
  const save = (): void => {
    const { organisation, name } = fields.peek();
    unnamed.value = organisation.trim() === "" && name.trim() === "";
    if (unnamed.value) return;
    if (point !== null && sameFields(point, fields.peek())) onClose();
    else void run(() => (point === null ? addPoint(desk.api, fields.peek()) : changePoint(desk.api, point, fields.peek())));
  };
  return (
    <Dialog title={point === null ? t("event.addPoint") : shownName(point)} onClose={onClose} testId="point-dialog">
      <form
        class="point-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        {FIELDS.map((field) => (
          <Field key={field} field={field} fields={fields} desk={desk} />
        ))}
        {unnamed.value && <p class="field-problem" role="alert">{t("event.failed.fields")}</p>}
        {here.fault.value !== null && <Failed fault={here.fault.value} own={POINT_WORDS} />}
        {point !== null && <p class="note">{t("event.linkStays")}</p>}
        <div class="dialog-buttons spread">
          <button type="button" class="button" onClick={onClose}>
            {t("app.cancel")}
          </button>
          <button type="submit" class="button primary" data-testid="save-point" aria-disabled={here.busy.value}>
            <Icon name="check" />
            {t(point === null ? "event.addPoint" : "event.save")}
          </button>
        </div>
      </form>
      {point !== null && <More desk={desk} deeds={here} point={point} onRemove={() => void run(() => removePoint(desk.api, point))} />}
    </Dialog>
  );
}

interface FieldProps {
  readonly field: keyof PointFields;
  readonly fields: Signal<PointFields>;
  readonly desk: EventDesk;
}

function Field({ field, fields, desk }: FieldProps): JSX.Element {
  const id = useId();
  const known = field === "province" ? [...new Set(desk.event.value.points.map(({ province }) => province))].filter((name) => name !== "") : [];
  return (
    <label class="field">
      <span>{t(`event.column.${field}`)}</span>
      <input
        type="text"
        data-testid={`point-${field}`}
        value={fields.value[field]}
        maxLength={LIMITS[field]}
        autocomplete="off"
        list={known.length > 0 ? id : undefined}
        onInput={(event) => (fields.value = { ...fields.value, [field]: event.currentTarget.value })}
      />
      {known.length > 0 && (
        <datalist id={id}>
          {known.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      )}
    </label>
  );
}

interface MoreProps {
  readonly desk: EventDesk;
  readonly deeds: Deeds;
  readonly point: EventPoint;
  readonly onRemove: () => void;
}

/** What cannot be taken back is asked about first; removing can be taken back, so it is not. */
function More({ desk, deeds, point, onRemove }: MoreProps): JSX.Element {
  const asked = useSignal(false);
  const renewed = useSignal(false);
  const renew = async (): Promise<void> => {
    asked.value = false;
    renewed.value = await deeds.run(
      withLoad(desk.load, async () => {
        await desk.api.renewLink(point.id);
        return null;
      }),
    );
  };
  return (
    <div class="point-more">
      <button type="button" class="button" data-testid="renew-link" aria-disabled={deeds.busy.value} onClick={() => (asked.value = !asked.value)}>
        <Icon name="link" />
        {t("event.renew")}
      </button>
      <button type="button" class="button danger-quiet" data-testid="remove-point" aria-disabled={deeds.busy.value} onClick={onRemove}>
        <Icon name="remove" />
        {t("event.remove")}
      </button>
      {asked.value && (
        <div class="point-sure" role="alert" ref={show}>
          <p>{t("event.renewAsk")}</p>
          <button type="button" class="button danger" data-testid="renew-yes" onClick={() => void renew()}>
            {t("event.renew")}
          </button>
        </div>
      )}
      <p role="status">{renewed.value && t("event.did.renewed")}</p>
    </div>
  );
}

/** On a small screen it opens below what is seen. */
function show(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}
