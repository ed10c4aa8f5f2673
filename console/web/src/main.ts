import { installDebugHook } from "./core/debug.ts";
import { followLinks } from "./core/router.ts";
import { words } from "./i18n/index.ts";
import "./app.ts";

words.start();
followLinks();
installDebugHook();
document.getElementById("static-page")?.remove();
document.getElementById("app")?.replaceWith(document.createElement("sun-app"));
