// Mounts GraphiQL with the newcomer's walk in its tabs.

import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { walk } from "../../explorer/walk.js";
import { fetcher } from "./fetcher.js";
import "./graphiql.css";

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = ["graphql", "json"].includes(label) ? label : "editor";
    return new Worker(`/graphql/assets/${name}.worker.js`, { type: "module" });
  },
};

const tabs = walk.map(({ query, variables, headers }) => ({
  query,
  variables: variables && JSON.stringify(variables, null, 2),
  headers,
}));

// A first visit shows the first tab's query but not its variables, unless they are given once more.
const firstVariables = sessionStorage.length === 0 ? tabs[0].variables : undefined;

// The browser's tab is the limit of what is kept: a reload finds it again, the next visitor does not.
createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={tabs}
    initialVariables={firstVariables}
    defaultEditorToolsVisibility="variables"
    storage={sessionStorage}
    shouldPersistHeaders
    showPersistHeadersSettings={false}
    inputValueDeprecation
    schemaDescription
  >
    <GraphiQL.Logo>QuantumVault</GraphiQL.Logo>
  </GraphiQL>,
);
