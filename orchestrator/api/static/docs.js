"use strict";
SwaggerUIBundle({url: "/openapi.json", dom_id: "#docs", deepLinking: true, persistAuthorization: false,
  validatorUrl: null, tryItOutEnabled: true, defaultModelsExpandDepth: 0});
