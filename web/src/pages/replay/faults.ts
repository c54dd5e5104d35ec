// Owns how a refusal is said on a replay page: the code, and a person's words for it.

import { ApiError } from "../../api";
import { toldAs } from "../../components/context";
import { t } from "../../i18n";

export interface Told {
  readonly code: string;
  readonly words: string;
}

export function say(error: unknown): Told {
  const code = error instanceof ApiError ? error.code : "internal";
  if (code === "notFound") return { code, words: t("replay.unavailable") };
  const told = toldAs(code);
  return { code, words: `${t(`refused.${told}`)}. ${t(`refused.${told}.todo`)}` };
}
