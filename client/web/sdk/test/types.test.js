// chatd.d.ts declares exactly the API that the code has.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import * as sdk from "../chatd.js";
import { World, eventNames } from "./fake.js";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
const types = read("chatd.d.ts").replace(/\/\*[^]*?\*\/|\/\/.*$/gm, ""); // without comments
const sources = readdirSync(new URL("..", import.meta.url)).filter((name) => name.endsWith(".js")).map(read).join("\n");

const sorted = (names) => [...new Set(names)].sort();
const found = (text, pattern) => sorted([...text.matchAll(pattern)].map((m) => m[1]));

/** Returns the text between the braces of a declaration. */
function body(declaration) {
  const at = types.indexOf(declaration);
  assert.ok(at >= 0, `chatd.d.ts doesn't declare ${declaration}`);
  const from = types.indexOf("{", at) + 1;
  let depth = 1;
  let to = from;
  for (; depth > 0; to++) depth += { "{": 1, "}": -1 }[types[to]] ?? 0;
  return types.slice(from, to - 1);
}

/** Returns the names of the members of a declaration, without nested ones. */
function members(declaration) {
  let flat = body(declaration);
  for (let before; before !== flat; ) {
    before = flat;
    flat = flat.replace(/\{[^{}]*\}|\([^()]*\)|<[^<>]*>/g, "");
  }
  return sorted([...flat.matchAll(/^\s*(?:readonly )?(\w+)\??\s*[:;]/gm)].map((m) => m[1]).filter((name) => name !== "constructor"));
}

test("chatd.d.ts declares exactly the exports", () => {
  assert.deepEqual(found(types, /^export (?:declare )?(?:function|class|const) (\w+)/gm), sorted(Object.keys(sdk)));
});

test("Client has exactly the declared members", () => {
  const there = Object.getOwnPropertyDescriptors(new World().client);
  assert.deepEqual(members("export class Client"), sorted(Object.keys(there)));
  assert.deepEqual(Object.getOwnPropertyNames(sdk.Client.prototype), ["constructor"]);
  for (const [name, { get }] of Object.entries(there)) {
    assert.equal(new RegExp(`readonly ${name}:`).test(types), Boolean(get), `${name}: want readonly if and only if it is a getter`);
  }
});

test("ChatError has exactly the declared members", () => {
  const error = new sdk.ChatError(9, "tooFast", "too fast", 5);
  assert.ok(error instanceof Error);
  assert.deepEqual(members("export class ChatError"), sorted(Object.keys(error)));
  assert.deepEqual([error.errno, error.name, error.text, error.message, error.retryAfter], [9, "tooFast", "too fast", "too fast", 5]);
});

test("the declared error names, end reasons, events and change kinds are those in the code", () => {
  const union = (name) => found(types.slice(types.indexOf(`type ${name}`)).split(";")[0], /"(\w+)"/g);
  const numbered = found(read("errors.js").split("};")[0], /\d+: "(\w+)"/g);
  assert.deepEqual(union("ErrorName"), sorted([...numbered, ...found(sources, /\bown\(\s*"(\w+)"/g), ...found(sources, /ChatError\(\d+, "(\w+)"/g)]));
  assert.deepEqual(members("export interface Events"), sorted(eventNames));
  assert.deepEqual(sorted(eventNames), found(sources, /core\.put(?:Last)?\("(\w+)"/g));
  const kinds = found(body("export interface Change").split(";")[0], /"(\w+)"/g);
  for (const kind of kinds) assert.ok(sources.includes(`"${kind}"`), `the change kind ${kind} is declared, but never used`);
  for (const reason of union("EndReason")) assert.ok(sources.includes(`"${reason}"`), `the end reason ${reason} is declared, but never used`);
});

test("every declared setting is used", () => {
  for (const name of members("export interface Config")) assert.match(sources, new RegExp(`\\b(c|config|core\\.config|config\\(\\))\\.${name}\\b|[{,] ?${name}\\b[^}]*\\} = (this\\.#core\\.|core\\.)?config|\\b${name}:`), `the setting ${name} is declared, but never used`);
});

test("Stats has exactly the declared counters", () => {
  assert.deepEqual(members("export interface Stats"), sorted(Object.keys(new World().client.stats)));
});
