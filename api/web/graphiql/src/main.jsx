// Mounts GraphiQL with the steps of the tutorial in its tabs.

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

// On a first visit, GraphiQL shows the first tab's variables only if they are passed separately.
const firstVariables = sessionStorage.length === 0 ? tabs[0].variables : undefined;

// State lasts as long as the browser's tab: a reload finds it again, and the next visitor does not.
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
