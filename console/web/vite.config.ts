import { defineConfig } from "vite";

// Government desktops run 360 and UOS browsers on Chromium 86 and later: syntax and CSS are lowered to that.
export default defineConfig({
  base: "/",
  build: {
    target: "chrome86",
    cssTarget: "chrome86",
    outDir: "dist",
    emptyOutDir: true,
    sourcemap: false,
    // No data: URLs and no inlined scripts: the content security policy allows neither for code.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
