// An issuer of others' making (oidc-provider), for tests/parts/edge.sh: machines get tokens by client credentials, as they do
// from Keycloak, Entra or Okta. SIGHUP rotates its keys: the new one signs, the old one is still published.
//
// Usage: node issuer.js READY_FILE AUDIENCE…   It writes its address into the file; each audience can be asked for.
import { generateKeyPairSync } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [ready, ...audiences] = process.argv.slice(2);
const keys = [];
const rotate = () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  keys.unshift({ ...privateKey.export({ format: "jwk" }), kid: `key-${keys.length}`, use: "sig", alg: "ES256" });
};

function provider(issuer) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "build-machine",
        client_secret: "a-secret-of-the-build-machine",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: "ES256",
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => {
          if (!audiences.includes(resource)) throw new Error(`no such audience: ${resource}`);
          return { scope: "", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } };
        },
      },
    },
  }).callback();
}

rotate();
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  let answer = provider(issuer);
  server.on("request", (request, response) => answer(request, response));
  process.on("SIGHUP", () => {
    rotate();
    answer = provider(issuer);
  });
  writeFileSync(`${ready}.new`, issuer);
  renameSync(`${ready}.new`, ready);
});
