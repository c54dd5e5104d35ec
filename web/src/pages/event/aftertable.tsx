// Owns a table that is sorted by pressing the head of a column.

import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { Icon } from "../../components/icons";
import { language, t } from "../../i18n";
import { sorted } from "./aftermodel";
import type { Cell, Order } from "./aftermodel";

export interface Column<T> {
  readonly head: string;
  /** What it is sorted by. */
  readonly value: (row: T) => Cell;
  /** Where that is not what is shown. */
  readonly shown?: (row: T) => ComponentChildren;
  readonly isNumber?: boolean;
}

interface SortTableProps<T> {
  readonly label: string;
  readonly rows: readonly T[];
  readonly columns: readonly Column<T>[];
  readonly keyOf: (row: T, index: number) => string;
  readonly testId: string;
}

export function SortTable<T>({ label, rows, columns, keyOf, testId }: SortTableProps<T>): JSX.Element {
  const order = useSignal<Order>({ column: 0, down: false });
  const { column, down } = order.value;
  const by = columns[column];
  const shown = by ? sorted(rows, by.value, down, language.value) : rows;
  if (rows.length === 0) return <p class="note">{t("after.nothingFound")}</p>;
  return (
    <div class="sort-table" role="region" aria-label={label} tabIndex={0}>
      <table data-testid={testId}>
        <thead>
          <tr>
            {columns.map((one, index) => (
              <th key={one.head} scope="col" class={one.isNumber ? "number" : undefined} aria-sort={sortOf(order.value, index)}>
                <button
                  type="button"
                  onClick={() => (order.value = { column: index, down: index === column ? !down : (one.isNumber ?? false) })}
                >
                  {one.head}
                  {index === column && <Icon name="down" />}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row, index) => (
            <tr key={keyOf(row, index)}>
              {columns.map((one, place) => {
                const content = one.shown ? one.shown(row) : one.value(row);
                const name = one.isNumber ? "number" : undefined;
                return place === 0 ? (
                  <th key={one.head} scope="row" class={name}>
                    {content}
                  </th>
                ) : (
                  <td key={one.head} class={name}>
                    {content}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function sortOf({ column, down }: Order, index: number): "ascending" | "descending" | undefined {
  if (column !== index) return undefined;
  return down ? "descending" : "ascending";
}
