// What @hey-api/openapi-ts generates: a client of fetch, which Node.js
// can run as it is compiled.

export default {
  input: "openapi.json",
  output: { path: "client", module: { extension: ".js" } },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};
