// Builds dist/widget.js: one minified script, the same bytes for the same sources, within its size budget.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";

const GZIP_BUDGET_BYTES = 38_000;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Style sheets are minified on their way in and become strings: the widget adopts them itself.
const cssAsText = {
  name: "css-as-text",
  setup(builder) {
    builder.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const { code } = await transform(source, { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

// What README.md promises; older engines lack private members.
const BROWSERS = ["chrome94", "edge94", "firefox93", "safari15.4"];

// Long names of properties that never leave the bundle, neither to the wire nor to storage nor to the DOM, are shortened. None may
// be looked up by a string.
const INTERNAL = [
  "themeColour|showBranding|brandName|brandLogoUrl|brandColour|displayName|imageUrl",
  "sessionId|expiresAt|messageId|readUpTo|retryAfterMs|localeGiven",
  "openedByItself|opensWhenReady|mayGreet|recheckedAt|welcomed|inFlight|heldUntil|unanswered|typingSentAt|seenUpTo|toldUpTo",
  "gapAfter|gapEnd|onChange|onFrame|onState|onBlocked|onTooLarge|openSocket|stopAll|isStoredUnder|changedName|outbox|trouble",
  "loading|blocked|recycle|obtain|readRecord|transient|showsEnd|connection|timers|apply|config|state",
  "events|avatarUrl|element|panel|composer|render|measure|words|toEnd|appearance|answers|endWait|stored",
  "notes|revive|mayRate|mayLeaveEmail|refusedEmail|forms",
  "identityToken|obtainSession|needsConnection|focusComposer|createSession|refreshToken|fetchConfig|socketUrl",
].join("|");

// A field of a frame that were shortened would be read under a name that the relay never sends.
const frames = await readFile(here("../protocol/frames.ts"), "utf8");
const onTheWire = [...frames.matchAll(/\b([a-z_]+)\??: /g)].map(([, name]) => name);
const lost = onTheWire.filter((name) => new RegExp(`^(${INTERNAL})$`).test(name));
if (lost.length > 0) throw new Error(`fields of frames must keep their names: ${lost.join(", ")}`);

await build({
  absWorkingDir: here("."),
  entryPoints: ["src/main.ts"],
  outfile: "dist/widget.js",
  bundle: true,
  format: "iife",
  target: BROWSERS,
  charset: "ascii", // survives host pages in any encoding
  minify: true,
  mangleProps: new RegExp(`^(${INTERNAL})$`),
  sourcemap: false,
  legalComments: "none",
  plugins: [cssAsText],
});

const bytes = await readFile(here("dist/widget.js"));
const gzipBytes = gzipSync(bytes, { level: 9 }).length;
console.log(`dist/widget.js: ${bytes.length} bytes, ${gzipBytes} bytes gzip (budget ${GZIP_BUDGET_BYTES})`);
if (gzipBytes > GZIP_BUDGET_BYTES) {
  console.error("dist/widget.js is over its size budget.");
  process.exit(1);
}
