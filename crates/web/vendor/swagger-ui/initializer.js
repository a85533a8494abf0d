// Not part of Swagger UI: how this project uses it.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // Nothing leaves this machine: no validator, no address in the query string that loads a description from elsewhere.
  validatorUrl: null,
  queryConfigEnabled: false,
});
