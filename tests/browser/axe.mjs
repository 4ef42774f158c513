// What axe finds in a page, held against WCAG 2.2 AA.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Holds the whole page against WCAG 2.2 AA, and answers the rules that were passed. */
export async function findsNothing(page) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() =>
    axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
      rules: { "target-size": { enabled: true } },
    }),
  );
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`),
  );
  assert.deepEqual(found, []);
  assert.ok(passes.length > 0, "axe looked");
  return passes;
}
