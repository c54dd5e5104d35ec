// Owns the sign of a grade: a shape and a word, so that the colour says nothing alone.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { t } from "../../i18n";
import type { Grade } from "../event/model";

const SIGNS: Readonly<Record<Grade | "none", IconName>> = { green: "check", amber: "warning", red: "close", none: "clock" };

/** `none`: not checked yet. */
export function GradeSign({ grade, bare = false }: { readonly grade: Grade | "none"; readonly bare?: boolean }): JSX.Element {
  return (
    <span class="grade" data-grade={grade}>
      <Icon name={SIGNS[grade]} />
      <span class={bare ? "unseen" : undefined}>{t(`linecheck.grade.${grade}`)}</span>
    </span>
  );
}
