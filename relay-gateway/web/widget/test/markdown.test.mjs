// Marks become a tree, and what is no mark stays as it was written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./source.mjs";

const { blocks } = await load("markdown.ts");

/** The tree as short text: <b>, <i>, <c> for code, {label|url} for links. */
function shown(content) {
  return blocks(content).map((block) => {
    if (block.kind === "code") return `code:${block.text}`;
    if (block.kind === "text") return inner(block.inner);
    return `${block.start ?? "-"}:${block.items.map(inner).join("/")}`;
  });
}

function inner(pieces) {
  return pieces
    .map((piece) => {
      if (typeof piece === "string") return piece;
      if ("url" in piece) return `{${piece.label}|${piece.url}}`;
      const name = { strong: "b", em: "i", code: "c" }[piece.tag];
      return `<${name}>${inner(piece.inner)}</${name}>`;
    })
    .join("");
}

test("the marks that people know", () => {
  for (const [content, expected] of [
    ["plain", ["plain"]],
    ["a **bold** word", ["a <b>bold</b> word"]],
    ["__bold__ and *italic* and _italic_", ["<b>bold</b> and <i>italic</i> and <i>italic</i>"]],
    ["**bold with *italic* inside**", ["<b>bold with <i>italic</i> inside</b>"]],
    ["*italic with **bold** inside*", ["<i>italic with <b>bold</b> inside</i>"]],
    ["run `cargo **test**` now", ["run <c>cargo **test**</c> now"]],
    ["see [our help](https://help.example/a_b).", ["see {our help|https://help.example/a_b}."]],
    ["[wiki](https://en.example/Relay_(chat))", ["{wiki|https://en.example/Relay_(chat)}"]],
    ["![a cat](https://img.example/cat.png)", ["{a cat|https://img.example/cat.png}"]],
    ["https://example.com/a_b_c and *b*", ["{https://example.com/a_b_c|https://example.com/a_b_c} and <i>b</i>"]],
    ["**https://example.com/a**", ["<b>{https://example.com/a|https://example.com/a}</b>"]],
    ["## A heading\nand text", ["<b>A heading</b>\nand text"]],
    ["one\n\ntwo", ["one\n\ntwo"]],
    ["First:\n\n- one\n- **two**\n* three\n\nLast.", ["First:", "-:one/<b>two</b>/three", "Last."]],
    ["1. one\n2) two\n   goes on", ["1:one/two\ngoes on"]],
    ["3. three\n- other", ["3:three", "-:other"]],
    ["```npm i```\nthen\n```npm run```", ["<c>npm i</c>\nthen\n<c>npm run</c>"]],
    ["1. run\n   ```\n   npm i\n   ```\n2. done", ["1:run", "code:   npm i", "2:done"]],
    ["```js\nlet a = 1;\n\n*b*\n```\nafter", ["code:let a = 1;\n\n*b*", "after"]],
    ["مرحبا **بكم**", ["مرحبا <b>بكم</b>"]],
    ["**注意**：好", ["<b>注意</b>：好"]],
  ]) {
    assert.deepEqual(shown(content), expected, content);
  }
});

test("what is no mark stays as it was written", () => {
  for (const content of [
    "2 * 3 * 4",
    "2*3*4",
    "snake_case_name and another_one",
    "a ** b ** c",
    "**",
    "***",
    "** not bold**",
    "**open",
    "`open",
    "_open",
    "-5 degrees",
    "1.5 litres",
    "- ",
    "#hashtag",
    "[label](http://plain.example)",
    "[label](javascript:alert(1))",
    "[label](https://user@evil.example)",
    "[ ](https://evil.example)",
    "<b>no</b> <script>alert(1)</script>",
    "a &amp; b",
  ]) {
    const made = blocks(content);
    const isPlain = made.every((block) => block.kind === "text" && block.inner.every((piece) => typeof piece === "string" || "url" in piece));
    assert.ok(isPlain, `${content}: ${JSON.stringify(made)}`);
    const text = made.map(({ inner }) => inner.map((piece) => piece.label ?? piece).join("")).join("\n");
    assert.equal(text, content.trimEnd(), content);
  }
  assert.deepEqual(shown("¯\\_(ツ)_/¯"), ["¯_(ツ)_/¯"]);
  assert.deepEqual(shown("\\*not italic\\* and 1\\. one"), ["*not italic* and 1. one"]);
});

test("a label that names another host than the link's says where it leads", () => {
  for (const label of [
    "paypal.com",
    "www.paypal.com/login",
    "**bank.de**",
    "https://bank.example/evil.example",
    "bank.\u200bexample",
    "bank\u3002example",
    "bank\uff0eexample",
    "192.0.2.1",
    "Node.js docs",
  ]) {
    const links = blocks(`[${label}](https://evil.example/a)`).flatMap(({ inner }) => inner.filter((piece) => piece.url));
    assert.equal(links.length, 1, label);
    assert.match(links[0].label, / \(evil\.example\)$/, label);
  }
  assert.deepEqual(shown("[my_file](https://a.example)"), ["{my_file|https://a.example/}"]);
  assert.deepEqual(shown("[help.example](https://help.example/a)"), ["{help.example|https://help.example/a}"]);
});

test("no letters are lost, and no text takes long", () => {
  const parts = ["*", "**", "_", "__", "`", "[", "](", ")", "https://a.example/", "word", " ", "\n", "- ", "1. ", "\\", "```", "你", "😀", "# ", "!"];
  let seed = 7;
  const next = (most) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % most;
  };
  const letters = (text) => text.replace(/[^a-z0-9你😀]/giu, "").replace(/\d/g, "");
  for (let n = 0; n < 5000; n += 1) {
    const content = Array.from({ length: next(30) }, () => parts[next(parts.length)]).join("");
    const text = blocks(content)
      .map((block) => (block.kind === "code" ? block.text : block.kind === "text" ? plain(block.inner) : block.items.map(plain).join("\n")))
      .join("\n");
    // The words after a fence's opening name a language, and the target of a link is not shown.
    if (content.includes("```") || content.includes("](https")) continue;
    assert.equal(letters(text), letters(content), JSON.stringify(content));
  }
  for (const hostile of ["*a ".repeat(4000), "**a".repeat(4000), "_a_".repeat(4000), "`".repeat(8000), "[".repeat(8000), "[a](".repeat(2000), "* ".repeat(4000), "\\".repeat(8000), "```\n".repeat(2000), "> ".repeat(4000), "https://".repeat(1000), "*_".repeat(4000), `# a${" ".repeat(7000)}b`, `# a${" ".repeat(3000)}b\r${" ".repeat(3000)}c`, `${" \n".repeat(3900)}a`]) {
    const begun = performance.now();
    blocks(hostile.slice(0, 8000));
    const took = performance.now() - begun;
    assert.ok(took < 200, `${hostile.slice(0, 12)}: ${took} ms`);
  }
});

function plain(pieces) {
  return pieces.map((piece) => (typeof piece === "string" ? piece : "url" in piece ? piece.label : plain(piece.inner))).join("");
}
