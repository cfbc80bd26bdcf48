// What a reader of /docs is shown, without a browser: Swagger's page, in
// jsdom. `node swagger_ui.mjs`, beside openapi.json, writes the example
// of each response into shown.json.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { JSDOM } from "jsdom";

const bundle = createRequire(import.meta.url).resolve(
  "swagger-ui-dist/swagger-ui-bundle.js",
);
const { window } = new JSDOM('<div id="page"></div>', {
  runScripts: "outside-only",
  pretendToBeVisual: true,
  url: "http://localhost/docs",
});
window.eval(readFileSync(bundle, "utf8"));
window.SwaggerUIBundle({
  spec: JSON.parse(readFileSync("openapi.json", "utf8")),
  dom_id: "#page",
  docExpansion: "full",
  onComplete: () => setTimeout(write, 2000),
});

// Events are a text; all else is JSON.
function parsed(text) {
  return text.startsWith("id: ") ? text : JSON.parse(text);
}

function write() {
  const responses = [...window.document.querySelectorAll("tr.response")];
  const examples = responses.map((response) => {
    const shown = response.querySelector(".microlight");
    return shown === null ? null : parsed(shown.textContent);
  });
  writeFileSync("shown.json", JSON.stringify(examples));
  process.exit();
}
