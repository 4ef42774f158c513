// What axe finds in a page, held against WCAG 2.2 AA.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Holds the whole page against WCAG 2.2 AA, and answers the rules that were passed. */
export async function findsNothing(page) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(async () => {
    const runOnly = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"];
    const whole = await axe.run(document, { runOnly, rules: { "target-size": { enabled: true } } });
    // axe measures contrast and sizes within the body only, and the widget stands beside it.
    const widgets = [...document.querySelectorAll("html > chat-relay-widget")];
    for (const widget of widgets) document.body.moveBefore(widget, null);
    const within = await axe.run(document, { runOnly: { type: "rule", values: ["color-contrast", "target-size"] } });
    for (const widget of widgets) document.documentElement.moveBefore(widget, null);
    return { violations: [...whole.violations, ...within.violations], passes: [...whole.passes, ...within.passes] };
  });
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`),
  );
  assert.deepEqual(found, []);
  assert.ok(passes.length > 0, "axe looked");
  return passes;
}
