// Links lead where they look to lead, whatever script is written around them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./source.mjs";

const { withLinks } = await load("links.ts");
const links = (text) => withLinks(text).filter((piece) => typeof piece !== "string");
const urls = (text) => links(text).map(({ url }) => url);

test("text after a link stays text, in any script", () => {
  for (const [text, url] of [
    ["请看https://example.com/help，谢谢", "https://example.com/help"],
    ["（http://src.cool）与您", "http://src.cool/"],
    ["「https://example.com/a」を見て。", "https://example.com/a"],
    ["详见https://example.com/a。", "https://example.com/a"],
    ["https://example.com/a！", "https://example.com/a"],
    ["https://example.com/a؟", "https://example.com/a"],
    ["https://example.com/a، ثم", "https://example.com/a"],
    ["https://example.com/a। फिर", "https://example.com/a"],
    ["https://example.com/a…", "https://example.com/a"],
    ["„https://example.com/a“", "https://example.com/a"],
    ["‹https://example.com/a›", "https://example.com/a"],
    ["https://example.com/a\u202egpj.exe", "https://example.com/a"],
    ["https://example.com/a\u200bhidden", "https://example.com/a"],
    ["https://example.com\u2066.evil.example", "https://example.com/"],
    ["https://example.com\u00ad.evil.example", "https://example.com/"],
    ["https://example.com/a\u3000つぎ", "https://example.com/a"],
    ["(see https://en.wikipedia.org/wiki/Relay_(disambiguation)).", "https://en.wikipedia.org/wiki/Relay_(disambiguation)"],
    ["https://example.com/a?b=c&d=%20#e.", "https://example.com/a?b=c&d=%20#e"],
    ["https://example.com/Grüße", "https://example.com/Gr%C3%BC%C3%9Fe"],
  ]) {
    assert.deepEqual(urls(text), [url], text);
  }
});

test("a host is told as the browser calls it", () => {
  for (const [text, label] of [
    ["https://exämple.com/a", "https://xn--exmple-cua.com/a"],
    ["https://аpple.com", "https://xn--pple-43d.com"],
    ["https://Ｅxample.com/a", "https://example.com/a"],
    ["https://%65xample.com/a", "https://example.com/a"],
    ["https://0x7f.1/a", "https://127.0.0.1/a"],
    ["https://EXAMPLE.com/A", "https://EXAMPLE.com/A"],
    ["http://src.cool与您", "http://src.xn--cool-o79hj96c"],
  ]) {
    const [link] = links(text);
    assert.ok(link, text);
    assert.match(link.label, /^https?:\/\/[\x21-\x7e]+/, text);
    if (!text.includes("与您")) assert.equal(link.label, label);
  }
});

test("an address that names a user is no link", () => {
  for (const text of ["https://bank.example@evil.example/", "https://bank.example:pw@evil.example", "http://@evil.example", "https://a%40b@c.example"]) {
    assert.deepEqual(urls(text), [], text);
  }
});

test("whatever surrounds an address, it is the address that is linked, and no text is lost", () => {
  // Punctuation and invisible marks of every script, by Unicode's own categories.
  const marks = [];
  for (let code = 0x80; code <= 0xffff; code += 1) {
    const mark = String.fromCharCode(code);
    if (/[\p{P}\p{Z}\p{Cc}\p{Cf}]/u.test(mark)) marks.push(mark);
  }
  assert.ok(marks.length > 600);
  const letters = ["x", "é", "я", "中", "ع", "अ", "한"];
  for (const mark of marks) {
    for (const letter of letters) {
      for (const address of ["https://example.com", "https://example.com/help", "https://example.com/a?b=c"]) {
        const text = `${letter}${mark}${address}${mark}${letter}`;
        const pieces = withLinks(text);
        const [link, ...more] = pieces.filter((piece) => typeof piece !== "string");
        assert.deepEqual(more, []);
        assert.equal(link.label, address, JSON.stringify(text));
        assert.equal(new URL(link.url).hostname, "example.com");
        assert.equal(pieces.map((piece) => (typeof piece === "string" ? piece : piece.label)).join(""), text);
      }
    }
  }
});
