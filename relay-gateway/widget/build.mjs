// Builds dist/widget.js: one minified script, the same bytes for the same sources, within its size budget.
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";

const GZIP_BUDGET_BYTES = 20_000;
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

// Names which the sources declare private are shortened, unless the platform or a string uses the same word.
async function privateNames() {
  const read = async (folder, pattern) => {
    const paths = (await readdir(here(folder), { recursive: true })).filter((path) => pattern.test(path)).sort();
    return (await Promise.all(paths.map((path) => readFile(here(`${folder}/${path}`), "utf8")))).join("\n");
  };
  const sources = await read("src", /\.ts$/);
  const platform = await read("node_modules/typescript/lib", /^lib\.(dom|es).*\.d\.ts$/);
  const taken = new Set([...platform.matchAll(/[A-Za-z_]\w*/g), ...sources.matchAll(/(?<=["'`])\w+/g)].map(String));
  const names = [...sources.matchAll(/private (?:readonly |async )*(\w+)/g)].map(([, name]) => name);
  return [...new Set(names)].filter((name) => !taken.has(name)).sort();
}

await build({
  absWorkingDir: here("."),
  entryPoints: ["src/main.ts"],
  outfile: "dist/widget.js",
  bundle: true,
  format: "iife",
  target: "es2020",
  charset: "ascii", // survives host pages in any encoding
  minify: true,
  mangleProps: new RegExp(`^(?:${(await privateNames()).join("|")})$`),
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
