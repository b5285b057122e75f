// Compares what the server and the GitHub of the tests exchanged with GitHub's own description of its API:
// each path and method exists, each request and each answer has the shape that is described.
// Usage: node check.mjs TOOLS_FOLDER TRANSCRIPTS_FOLDER
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [tools, transcripts] = process.argv.slice(2);
const require = createRequire(join(tools, "package.json"));
const { default: Ajv } = require("ajv");
const { default: formats } = require("ajv-formats");

const described = JSON.parse(readFileSync(join(tools, "node_modules/@octokit/openapi/generated/api.github.com.json")));
// In OpenAPI 3.0 `nullable` may stand without a type; the validator wants it said in other words.
function reword(node) {
  if (node === null || typeof node !== "object") return;
  Object.values(node).forEach(reword);
  if (node.nullable === true && typeof node.type !== "string") {
    const { nullable: _nullable, ...rest } = node;
    Object.keys(node).forEach((name) => delete node[name]);
    node.anyOf = [rest, { type: "null" }];
  }
}
reword(described.paths);
reword(described.components.responses);
reword(described.components.schemas);
const ajv = new Ajv({ strict: false, allErrors: true });
formats(ajv);
ajv.addFormat("repo.nwo", true);
ajv.addSchema(described, "github");

const escape = (part) => part.replaceAll("~", "~0").replaceAll("/", "~1");
const resolve = (node) => (node?.$ref ? node.$ref.slice(2).split("/").reduce((at, part) => at[part], described) : node);
const validators = new Map();
function faults(pointer, value) {
  if (!validators.has(pointer)) validators.set(pointer, ajv.compile({ $ref: `github#${pointer}` }));
  const validate = validators.get(pointer);
  if (validate(value)) return [];
  return validate.errors.slice(0, 5).map((error) => `${error.instancePath || "/"} ${error.message}`);
}

// The described path of a call: that with the fewest parameters.
const templates = Object.keys(described.paths).map((path) => ({
  path,
  parts: path.slice(1).split("/"),
  parameters: path.split("{").length - 1,
}));
function template(path) {
  const parts = path.slice(1).split("/");
  const fits = (candidate) =>
    candidate.parts.length === parts.length &&
    candidate.parts.every((part, index) => (part.startsWith("{") ? parts[index] !== "" : part === parts[index]));
  return templates.filter(fits).sort((one, other) => one.parameters - other.parameters)[0]?.path;
}

const problems = [];
const seen = new Map();
let apart = 0;
for (const file of readdirSync(transcripts)) {
  for (const line of readFileSync(join(transcripts, file), "utf8").split("\n").filter(Boolean)) {
    const { method, path, body, status, answer } = JSON.parse(line);
    const [plain, query = ""] = path.split("?");
    // GraphQL has a description of its own, and this is only where GitHub's redirects lead.
    if (plain === "/api/graphql" || plain.startsWith("/repositories/")) {
      apart += 1;
      continue;
    }
    const tell = (words) => problems.push(`${method} ${path}: ${words}`);
    const found = template(plain);
    const operation = found && described.paths[found][method.toLowerCase()];
    if (!operation) {
      tell("is not described");
      continue;
    }
    seen.set(`${method} ${found}`, (seen.get(`${method} ${found}`) ?? 0) + 1);
    const at = `/paths/${escape(found)}/${method.toLowerCase()}`;
    const known = [...(described.paths[found].parameters ?? []), ...(operation.parameters ?? [])].map(resolve);
    for (const [name, value] of new URLSearchParams(query)) {
      const parameter = known.find((candidate) => candidate.in === "query" && candidate.name === name);
      if (!parameter) tell(`has no parameter ${name}`);
      else if (parameter.schema.enum && !parameter.schema.enum.includes(value)) tell(`${name} can't be ${value}`);
    }
    if (operation.requestBody?.content?.["application/json"]) {
      for (const fault of faults(`${at}/requestBody/content/application~1json/schema`, body)) tell(`request ${fault}`);
    } else if (body !== null) tell("takes no body");
    if (answer === null || status === 0 || status >= 500) continue;
    const response = operation.responses[status];
    // Limits and a refused login can come from anywhere; their description is not repeated at each path.
    if (!response) {
      if (![400, 401, 403, 429, 451].includes(status)) tell(`is not described to answer ${status}`);
      continue;
    }
    if (!resolve(response).content?.["application/json"]) continue;
    const base = response.$ref ? response.$ref.slice(1) : `${at}/responses/${status}`;
    for (const fault of faults(`${base}/content/application~1json/schema`, answer)) tell(`answer ${status} ${fault}`);
  }
}
for (const [what, times] of [...seen].sort()) console.log(`${String(times).padStart(5)}  ${what}`);
console.log(`${apart} calls that this description does not have (GraphQL, redirects)`);
const distinct = [...new Set(problems)];
distinct.slice(0, 40).forEach((problem) => console.error(problem));
if (distinct.length > 0) {
  console.error(`${distinct.length} differences`);
  process.exit(1);
}
if (seen.size < 10) {
  console.error(`only ${seen.size} kinds of calls were made: the transcripts are not whole`);
  process.exit(1);
}
