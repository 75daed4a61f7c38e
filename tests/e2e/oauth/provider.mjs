// A certified OpenID provider (npm oidc-provider): node provider.mjs FOLDER RESOURCE SECONDS
// FOLDER is its installation, RESOURCE the identifier of the protected server, SECONDS the life of an access token.
// It listens on a free port and writes a line of JSON for all that happens, its own address first.
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, resource, seconds] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(join(folder, 'node_modules/oidc-provider/lib/index.js')));
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const life = Number(seconds);

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'machine',
      client_secret: 'machine-secret-of-the-tests',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    }],
    scopes: ['openid', 'offline_access', 'mcp:tools', 'mcp:admin'],
    pkce: { required: () => true },
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: { AccessToken: life, ClientCredentials: life, RefreshToken: 3600, Interaction: 60, Session: 3600, Grant: 3600, IdToken: 60 },
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'mcp:tools mcp:admin', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: life,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  for (const name of ['grant.success', 'grant.error', 'grant.revoked', 'registration_create.success']) {
    provider.on(name, (ctx, error) => say({
      event: name, grant: ctx.oidc?.params?.grant_type, resource: ctx.oidc?.params?.resource,
      scope: ctx.oidc?.params?.scope, error: error?.message,
    }));
  }
  server.on('request', provider.callback());
  say({ event: 'ready', issuer });
});
