// Builds dist/inbox.js and dist/inbox.css: the same bytes for the same sources, within their size budget.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const GZIP_BUDGET_BYTES = 40_000;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  absWorkingDir: here("."),
  entryPoints: { inbox: "src/main.tsx" },
  outdir: "dist",
  bundle: true,
  format: "iife",
  target: ["chrome100", "edge100", "firefox100", "safari15.4"],
  charset: "utf8",
  minify: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
});

let gzipBytes = 0;
for (const file of ["inbox.js", "inbox.css"]) {
  gzipBytes += gzipSync(await readFile(here(`dist/${file}`)), { level: 9 }).length;
}
console.log(`dist/inbox.js and dist/inbox.css: ${gzipBytes} bytes gzip (budget ${GZIP_BUDGET_BYTES})`);
if (gzipBytes > GZIP_BUDGET_BYTES) {
  console.error("The inbox is over its size budget.");
  process.exit(1);
}
