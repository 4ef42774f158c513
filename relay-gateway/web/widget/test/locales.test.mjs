// The texts of every language: all there, with the same places, and a form for each plural; and what a relay of another version sends.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { load } from "./source.mjs";

const { en } = await load("locales/en.ts");
const { dictionary } = await load("locales/dictionary.ts");
const { FETCHED } = await load("locale.ts");

const folder = new URL("../locales/", import.meta.url);
const files = readdirSync(folder).sort();
const texts = (language) => JSON.parse(readFileSync(new URL(`${language}.json`, folder), "utf8"));
const places = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();

test("the languages that are fetched are the files there are", () => {
  assert.deepEqual(files, FETCHED.map((language) => `${language}.json`));
});

for (const language of FETCHED) {
  test(`${language} has every text, with the places of the English one and all plurals`, () => {
    const own = texts(language);
    assert.deepEqual(Object.keys(own), Object.keys(en));
    const { pluralCategories } = new Intl.PluralRules(language).resolvedOptions();
    for (const [name, english] of Object.entries(en)) {
      if (typeof english === "string") {
        assert.deepEqual(places(own[name]), places(english), name);
        assert.equal(own[name], own[name].trim(), name);
      } else {
        // Millions have a form of their own in some languages. Nobody has so many unread messages.
        const told = pluralCategories.filter((plural) => own[name][plural] !== undefined || plural !== "many");
        assert.deepEqual(Object.keys(own[name]).sort(), told.sort(), name);
        for (const [plural, form] of Object.entries(own[name])) {
          // A language that names one, two or none by a word needs no number.
          if (!["zero", "one", "two"].includes(plural)) assert.deepEqual(places(form), places(english.other), `${name} ${plural}`);
        }
      }
    }
  });
}

test("texts count in the plurals of their language", () => {
  const unread = (language, count) => dictionary(texts(language), language).unread(count);
  assert.equal(dictionary({}, "en").unread(1), "1 unread message");
  assert.deepEqual([1, 2, 5, 22].map((count) => unread("pl", count)), [
    "1 nieprzeczytana wiadomość",
    "2 nieprzeczytane wiadomości",
    "5 nieprzeczytanych wiadomości",
    "22 nieprzeczytane wiadomości",
  ]);
  assert.equal(unread("ar", 2), "رسالتان غير مقروءتين");
  assert.equal(unread("ja", 3), "未読メッセージ 3 件");
  assert.equal(dictionary(texts("ja"), "ja").scoreOf(4, 5), "5 点中 4 点", "places stand in any order");
  assert.equal(dictionary(texts("de"), "de").said("{score} $& {name}"), "{score} $& {name}:", "what is filled in is not read again");
});

test("what a relay of another version lacks is English, and what it sends in another shape too", () => {
  const odd = { openChat: "Öffnen", closeChat: 7, send: null, unread: { one: "eine" }, said: { other: "{name} sagt {what}" }, retry: "", more: "?" };
  const t = dictionary(odd, "de");
  assert.equal(t.openChat, "Öffnen");
  assert.deepEqual([t.closeChat, t.send, t.retry], [en.closeChat, en.send, en.retry]);
  assert.equal(t.unread(2), "2 unread messages");
  assert.equal(t.said("Ann"), "Ann sagt {what}");
  assert.equal(t.more, undefined);
});
