import { html } from "lit";
import { define, View } from "../ui/view.ts";
class VisitPage extends View {
  protected override render() { return html``; }
}
define("page-visit", VisitPage);
