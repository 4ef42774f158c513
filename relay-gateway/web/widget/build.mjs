// Builds dist/widget.js, which pages load, and dist/chat.js, which it loads once the chat is wanted: the same bytes for the same sources, within
// their size budgets.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";
import { minify } from "terser";

/** What a page loads before the first click, and all of it: 9 kB and 45 kB, less what the gateway's gzip makes more of it than this one. */
const LOADER_GZIP_BYTES = 8_980;
const WHOLE_GZIP_BYTES = 44_960;
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

// Long names of properties that never leave a file, neither to the wire nor to storage nor to the DOM nor to the other file, are shortened. None
// may be looked up by a string.
const INTERNAL = [
  "themeColour|showBranding|brandName|brandLogoUrl|brandColour|displayName|imageUrl",
  "sessionId|expiresAt|messageId|readUpTo|retryAfterMs|localeGiven",
  "openedByItself|opensWhenReady|mayGreet|recheckedAt|welcomed|inFlight|heldUntil|unanswered|typingSentAt|seenUpTo|toldUpTo",
  "gapAfter|gapEnd|onChange|onFrame|onState|onBlocked|onTooLarge|openSocket|stopAll|isStoredUnder|changedName|outbox|trouble",
  "loading|blocked|recycle|obtain|readRecord|transient|showsEnd|connection|timers|apply|config|state",
  "events|avatarUrl|element|panel|composer|render|measure|words|toEnd|appearance|answers|endWait|stored",
  "notes|revive|mayRate|mayLeaveEmail|refusedEmail|forms|occupant|emitter|holdsChat|approach|follow|hasLauncher|isOpen",
  "mayOpen|expectedWaitS|quickReplies|openConversation|listConversations|closePast|checkVisitor|keepFiles|patch",
  "askedBefore|transcript|previewedUpTo|mayAskOlder|takesFiles|dismissGreeting|focusOnOpening|removeFile|addFiles|clientId|obtainWords",
  "identityToken|lasting|destroy|reveal|progress|recheck|isAnothers|nameVisitor|mayChangeVisitor|saveTranscript|sendFrame|pollFrames|endSession|beginWords|openLine|fetchTexts|obtainSession|needsConnection|focusComposer|createSession|refreshToken|fetchConfig|socketUrl",
].join("|");

// A field of a frame that were shortened would be read under a name that the relay never sends, and one of the contract between the two files
// under a name that the other file does not have.
for (const file of ["../protocol/frames.ts", "src/contract.ts"]) {
  const named = [...(await readFile(here(file), "utf8")).matchAll(/\b([A-Za-z_]+)\??[:(]/g)].map(([, name]) => name);
  const lost = named.filter((name) => new RegExp(`^(${INTERNAL})$`).test(name));
  if (lost.length > 0) throw new Error(`${file}: these must keep their names: ${lost.join(", ")}`);
}

async function bundle(entry, outfile, format) {
  const { outputFiles } = await build({
    absWorkingDir: here("."),
    entryPoints: [entry],
    write: false,
    bundle: true,
    format,
    target: BROWSERS,
    charset: "ascii", // survives host pages in any encoding
    minify: true,
    mangleProps: new RegExp(`^(${INTERNAL})$`),
    sourcemap: false,
    legalComments: "none",
    plugins: [cssAsText],
  });
  // esbuild lowers the syntax and shortens the properties; a second pass takes another 3 % off what a page loads. Single statements compress
  // better than sequences do. No function here is called with `new`, so all may be arrows.
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2021,
    module: format === "esm",
    compress: { passes: 3, sequences: false, unsafe_arrows: true },
    format: { ascii_only: true },
  });
  const bytes = Buffer.from(code);
  await writeFile(here(outfile), bytes);
  const gzip = gzipSync(bytes, { level: 9 }).length;
  console.log(`${outfile}: ${bytes.length} bytes, ${gzip} bytes gzip`);
  return gzip;
}

const loader = await bundle("src/loader/main.ts", "dist/widget.js", "iife");
const chat = await bundle("src/chat.ts", "dist/chat.js", "esm");
if (loader > LOADER_GZIP_BYTES || loader + chat > WHOLE_GZIP_BYTES) {
  console.error(`The widget is over its size budget: ${LOADER_GZIP_BYTES} before the first click, ${WHOLE_GZIP_BYTES} in all.`);
  process.exit(1);
}
