// Bundles GraphiQL into dist/. Each file is gzipped, as the server reads and sends it.

import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

process.chdir(import.meta.dirname);

const { outputFiles, metafile } = await build({
  entryPoints: {
    graphiql: "src/main.jsx",
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
  },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".ttf": "file" },
  assetNames: "[name]",
  legalComments: "none", // licenses.txt holds them in full.
  metafile: true,
  write: false,
});

const files = new Map(outputFiles.map(({ path: file, contents }) => [path.basename(file), contents]));
files.set("licenses.txt", licences(Object.keys(metafile.inputs)));
// The page comes last, so that a running server has all files that the page refers to.
files.set("index.html", readFileSync("src/index.html"));

let total = 0;
for (const [name, contents] of files) {
  // Node writes neither a name nor a time into the header, so equal input gives equal bytes.
  const packed = gzipSync(contents, { level: 9 });
  // Written under another name first, so that the server reads complete files only.
  writeFileSync(`dist/${name}.new`, packed);
  renameSync(`dist/${name}.new`, `dist/${name}.gz`);
  total += packed.length;
}
for (const found of readdirSync("dist")) {
  if (/\.(gz|new)$/.test(found) && !files.has(found.replace(/\.gz$/, ""))) rmSync(`dist/${found}`);
}
console.log(`dist: ${files.size} files, ${Math.ceil(total / 1024)} KiB`);

// Returns the texts of the licences, which every copy of the code must include.
function licences(inputs) {
  const folders = inputs.map((file) => file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]);
  return [...new Set(folders)].filter(Boolean).sort().map(licence).join(`\n${"-".repeat(78)}\n\n`);
}

function licence(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`));
  const texts = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|thirdpartynotices)/i.test(file));
  return [`${name} ${version} (${license})\n`, ...texts.map((file) => readFileSync(`${folder}/${file}`, "utf8"))].join("\n");
}
