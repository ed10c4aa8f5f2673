// Paths to pages; plain history, no hash, so that links can be copied.

export interface Match {
  path: string;
  parts: Record<string, string>;
  query: URLSearchParams;
}

/** `/cases/:id` against `/cases/7`: the parts, or null. */
export function matchPath(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/").filter(Boolean);
  const given = path.split("/").filter(Boolean);
  if (wanted.length !== given.length) return null;
  const parts: Record<string, string> = {};
  for (let index = 0; index < wanted.length; index += 1) {
    const name = wanted[index] ?? "";
    const value = given[index] ?? "";
    if (name.startsWith(":")) parts[name.slice(1)] = decodeURIComponent(value);
    else if (name !== value) return null;
  }
  return parts;
}

export const navigation = new EventTarget();

export function go(path: string, replace = false): void {
  if (replace) history.replaceState(null, "", path);
  else if (path !== location.pathname + location.search) history.pushState(null, "", path);
  navigation.dispatchEvent(new Event("change"));
}

/** Follows clicks on same-origin links without loading the page again. */
export function followLinks(): void {
  window.addEventListener("popstate", () => navigation.dispatchEvent(new Event("change")));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = event.composedPath().find((node): node is HTMLAnchorElement => node instanceof HTMLAnchorElement);
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.pathname.startsWith("/api/")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
