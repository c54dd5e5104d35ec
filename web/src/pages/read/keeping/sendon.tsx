// Owns sending a study on to another archive: where to, and what became of it.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback } from "preact/hooks";
import { Icon } from "../../../components/icons";
import { Problem } from "../../../components/problem";
import { t } from "../../../i18n";
import { isOver } from "../../../studies/keeping";
import { useLoading } from "../../loading";
import { useActing } from "./acting";
import { JobList } from "./job";
import type { JobsProps } from "./job";
import { faultWords } from "./words";

/** Destinations change with the settings, when the server is started anew. */
const REFRESH_MS = 600_000;

interface SendOnProps extends JobsProps {
  readonly uid: string;
}

export function SendOn({ uid, ...rest }: SendOnProps): JSX.Element {
  const { api, jobs, onChanged } = rest;
  const { found, fault: unknown } = useLoading(useCallback(() => api.destinations(), [api]), REFRESH_MS);
  const chosen = useSignal("");
  const { busy, fault, act } = useActing();
  const to = chosen.value || (found.value?.[0] ?? "");
  const isUnderWay = jobs.some((job) => job.to === to && !isOver(job));
  const send = async (): Promise<void> => {
    if (to !== "" && !isUnderWay && (await act(() => api.send(uid, to)))) await onChanged();
  };
  return (
    <section class="keep-part" aria-label={t("keep.send")} data-testid="send-on">
      <h3>{t("keep.send")}</h3>
      {unknown.value !== null && <p class="keep-fault">{faultWords(unknown.value)}</p>}
      {found.value?.length === 0 && <p class="note">{t("keep.noDestinations")}</p>}
      {found.value !== null && found.value.length > 0 && (
        <form
          class="keep-line"
          onSubmit={(event) => {
            event.preventDefault();
            void send();
          }}
        >
          <label class="field">
            <span>{t("keep.to")}</span>
            <select data-testid="destination" value={to} onChange={(event) => (chosen.value = event.currentTarget.value)}>
              {found.value.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <button type="submit" class="button" data-testid="send-study" aria-disabled={busy.value || isUnderWay}>
            <Icon name="send" />
            {t("keep.sendNow")}
          </button>
        </form>
      )}
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{faultWords(fault.value)}</p>
        </Problem>
      )}
      <JobList {...rest} />
    </section>
  );
}
