import { html } from "lit";
import { t } from "../i18n/index.ts";
import { dialogOpen, openDialog } from "./dialog.ts";

const GROUPS: { title: string; keys: [string, string][] }[] = [
  {
    title: "help.anywhere",
    keys: [
      ["?", "help.help"],
      ["/", "help.search"],
      ["G W", "nav.wall"],
      ["G A", "nav.cases"],
      ["G S", "nav.cameras"],
      ["G D", "nav.workstations"],
      ["G P", "nav.plans"],
      ["Esc", "help.close"],
    ],
  },
  {
    title: "nav.wall",
    keys: [
      ["1 4 9", "help.tiles"],
      ["← → ↑ ↓", "help.select"],
      ["Enter", "help.enlarge"],
      ["Delete", "help.clear"],
      ["I", "wall.stats"],
      ["C", "wall.cameras"],
      ["F", "wall.full"],
    ],
  },
  {
    title: "help.review",
    keys: [
      ["Space K", "help.play"],
      ["J L", "help.slower"],
      ["← →", "help.seconds"],
      [", .", "help.frame"],
      ["[ ]", "help.event"],
      ["+ −", "help.zoom"],
      ["Home End", "help.ends"],
    ],
  },
];

export function showHelp(): void {
  if (dialogOpen()) return;
  void openDialog<null>(
    () => t("help.title"),
    () =>
      html`<div class="dialog-body help-groups">
        ${GROUPS.map(
          (group) =>
            html`<section>
              <h3>${t(group.title)}</h3>
              <dl>
                ${group.keys.map(
                  ([keys, what]) =>
                    html`<dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt>
                      <dd>${t(what)}</dd>`,
                )}
              </dl>
            </section>`,
        )}
      </div>`,
    { wide: true },
  );
}
