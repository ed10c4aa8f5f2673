// Draws /api/openapi.json as a page. Text goes in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function resolve(document_, schema) {
  if (!schema || !schema.$ref) return schema || {};
  return schema.$ref.slice(2).split("/").reduce((part, key) => part[key], document_);
}

function typeOf(document_, schema, depth = 0) {
  const known = resolve(document_, schema);
  if (depth > 6) return "…";
  if (known.enum) return known.enum.map((item) => JSON.stringify(item)).join(" | ");
  if (known.const !== undefined) return JSON.stringify(known.const);
  const either = known.anyOf || known.oneOf;
  if (either) return either.map((item) => typeOf(document_, item, depth + 1)).join(" | ");
  if (known.type === "array") return `${typeOf(document_, known.items, depth + 1)}[]`;
  if (known.properties) {
    const required = new Set(known.required || []);
    const indent = "  ".repeat(depth + 1);
    const lines = Object.entries(known.properties).map(
      ([name, item]) => `${indent}${name}${required.has(name) ? "" : "?"}: ${typeOf(document_, item, depth + 1)}`,
    );
    return `{\n${lines.join(",\n")}\n${"  ".repeat(depth)}}`;
  }
  return known.format || known.type || "any";
}

function parameters(document_, operation) {
  if (!operation.parameters || !operation.parameters.length) return null;
  const table = element("table");
  for (const item of operation.parameters) {
    const row = element("tr");
    row.append(element("td", item.name), element("td", item.in));
    row.append(element("td", typeOf(document_, item.schema)), element("td", item.required ? "required" : ""));
    table.append(row);
  }
  return table;
}

function operationOf(document_, path, method, operation) {
  const box = element("details");
  const line = element("summary");
  line.append(element("span", method.toUpperCase(), "method"), element("code", path));
  line.append(element("span", operation.summary || "", "note"));
  box.append(line, element("p", operation.description || ""));
  const table = parameters(document_, operation);
  if (table) box.append(table);
  const content = (operation.requestBody || {}).content || {};
  for (const [kind, body] of Object.entries(content)) {
    box.append(element("p", `Body: ${kind}`));
    if (body.schema) box.append(element("pre", typeOf(document_, body.schema)));
  }
  const answers = Object.keys(operation.responses || {}).join(", ");
  box.append(element("p", `Answers: ${answers}`, "note"));
  box.dataset.words = `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase();
  return box;
}

function draw(document_) {
  const main = document.getElementById("operations");
  const groups = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationOf(document_, path, method, item[method]));
    }
  }
  for (const [tag, boxes] of groups) {
    const section = element("section");
    section.append(element("h2", tag), ...boxes);
    main.append(section);
  }
  document.getElementById("about").textContent = `Version ${document_.info.version}`;
}

function filter(words) {
  for (const section of document.querySelectorAll("section")) {
    let shown = 0;
    for (const box of section.querySelectorAll("details")) {
      box.hidden = !box.dataset.words.includes(words);
      shown += box.hidden ? 0 : 1;
    }
    section.hidden = shown === 0;
  }
}

document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value.toLowerCase()));
fetch("/api/openapi.json")
  .then((answer) => answer.json())
  .then(draw)
  .catch((error) => {
    document.getElementById("about").textContent = `openapi.json could not be read: ${error}`;
  });
