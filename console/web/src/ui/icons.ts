// Icons of our own: 20 × 20, drawn with strokes in the current colour.
import { html, svg, type TemplateResult } from "lit";

const PATHS: Record<string, TemplateResult> = {
  wall: svg`<rect x="2.5" y="3.5" width="6.5" height="5.5"/><rect x="11" y="3.5" width="6.5" height="5.5"/><rect x="2.5" y="11" width="6.5" height="5.5"/><rect x="11" y="11" width="6.5" height="5.5"/>`,
  one: svg`<rect x="2.5" y="3.5" width="15" height="13"/>`,
  four: svg`<path d="M2.5 3.5h15v13h-15zM10 3.5v13M2.5 10h15"/>`,
  nine: svg`<path d="M2.5 3.5h15v13h-15zM7.5 3.5v13M12.5 3.5v13M2.5 7.8h15M2.5 12.2h15"/>`,
  search: svg`<circle cx="8.7" cy="8.7" r="5.2"/><path d="m12.6 12.6 4.4 4.4"/>`,
  case: svg`<path d="M4 2.5h8l4 4v11H4zM12 2.5v4h4M7 10.5h6M7 13.5h6"/>`,
  camera: svg`<path d="M2.5 6h11v8h-11zM13.5 9l4-2.2v6.4l-4-2.2"/>`,
  workstation: svg`<rect x="2.5" y="3.5" width="15" height="10"/><path d="M7 17h6M10 13.5V17"/>`,
  people: svg`<circle cx="7.5" cy="7" r="2.8"/><path d="M2.5 16.5c0-3 2-4.7 5-4.7s5 1.7 5 4.7M12.8 4.6a2.6 2.6 0 0 1 0 4.8M14.2 12c2 .5 3.3 2 3.3 4.5"/>`,
  source: svg`<path d="M3 5.5h9M9.5 2.5l3 3-3 3M17 14.5H8M10.5 11.5l-3 3 3 3"/>`,
  hall: svg`<path d="M2.5 8 10 3l7.5 5M4 8v8.5M8 8v8.5M12 8v8.5M16 8v8.5M2.5 16.5h15"/>`,
  audit: svg`<path d="M4.5 2.5h11v15h-11zM7.5 6.5h5M7.5 9.5h5M7.5 12.5h3"/>`,
  plan: svg`<path d="M3 4.5h14v13H3zM3 8.5h14M6.5 2.5v4M13.5 2.5v4M6 12h5M6 14.8h8"/>`,
  problem: svg`<path d="M10 3 18 16.5H2zM10 8v4M10 14.2v.3"/>`,
  purpose: svg`<path d="M3 4.5h14v9H9l-4 3.5v-3.5H3zM6.5 8h7M6.5 10.5h4"/>`,
  play: svg`<path d="M5.5 3.5v13l11-6.5z" fill="currentColor"/>`,
  sound: svg`<path d="M3 8v4h3l4.5 3.5v-11L6 8zM13 7.5a3.6 3.6 0 0 1 0 5M15 5a7 7 0 0 1 0 10"/>`,
  muted: svg`<path d="M3 8v4h3l4.5 3.5v-11L6 8zM13.5 8l4 4M17.5 8l-4 4"/>`,
  pause: svg`<path d="M6 3.5v13M14 3.5v13" stroke-width="3"/>`,
  back: svg`<path d="M12.5 4.5 7 10l5.5 5.5"/>`,
  forward: svg`<path d="M7.5 4.5 13 10l-5.5 5.5"/>`,
  stepback: svg`<path d="M15 4.5 8 10l7 5.5zM5 4.5v11"/>`,
  stepforward: svg`<path d="M5 4.5 12 10l-7 5.5zM15 4.5v11"/>`,
  previous: svg`<path d="M16 4.5 10 10l6 5.5M10 4.5 4 10l6 5.5"/>`,
  next: svg`<path d="M4 4.5 10 10l-6 5.5M10 4.5l6 5.5-6 5.5"/>`,
  close: svg`<path d="m5 5 10 10M15 5 5 15"/>`,
  plus: svg`<path d="M10 4v12M4 10h12"/>`,
  minus: svg`<path d="M4 10h12"/>`,
  check: svg`<path d="m4 10.5 4 4 8-9"/>`,
  help: svg`<circle cx="10" cy="10" r="7.5"/><path d="M7.8 8a2.2 2.2 0 1 1 3.3 1.9c-.8.5-1.1.9-1.1 1.8M10 14v.3"/>`,
  language: svg`<circle cx="10" cy="10" r="7.5"/><path d="M2.5 10h15M10 2.5c2.3 2 3.2 4.6 3.2 7.5s-.9 5.5-3.2 7.5C7.7 15.5 6.8 12.9 6.8 10S7.7 4.5 10 2.5"/>`,
  exit: svg`<path d="M8 3.5H3.5v13H8M8 10h9M13.5 6.5 17 10l-3.5 3.5"/>`,
  key: svg`<circle cx="6.5" cy="13" r="3.5"/><path d="m9 10.5 7.5-7.5M13.5 6l2.5 2.5"/>`,
  refresh: svg`<path d="M16 6.5A7 7 0 1 0 17 11M16.5 2.5v4h-4"/>`,
  full: svg`<path d="M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4"/>`,
  info: svg`<circle cx="10" cy="10" r="7.5"/><path d="M10 9v5M10 6v.3"/>`,
  list: svg`<path d="M6.5 5h11M6.5 10h11M6.5 15h11M2.5 5h1M2.5 10h1M2.5 15h1"/>`,
  left: svg`<path d="M3 3.5v13M16.5 10H7M10.5 6.5 7 10l3.5 3.5"/>`,
  scan: svg`<circle cx="10" cy="10" r="2"/><path d="M6 6a5.7 5.7 0 0 0 0 8M14 6a5.7 5.7 0 0 1 0 8M3.5 3.5a9.2 9.2 0 0 0 0 13M16.5 3.5a9.2 9.2 0 0 1 0 13"/>`,
  logo: svg`<circle cx="10" cy="9" r="3.2" fill="currentColor"/><path d="M10 1.5v2M3.8 4.5l1.5 1.4M16.2 4.5l-1.5 1.4M1.5 10h2.3M16.2 10h2.3M2 15.5h16M5 18h10"/>`,
};

export function icon(name: string, size = 18): TemplateResult {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
    ${PATHS[name] ?? PATHS["info"]}
  </svg>`;
}
