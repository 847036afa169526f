// Shows the API's own description. Nothing is asked of another site: there is no online validator.
SwaggerUIBundle({
  dom_id: "#reference",
  url: "/api/openapi.json",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null,
});
