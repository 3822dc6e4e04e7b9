// An OpenID Connect provider for the stories: whoever types a name is that person, with the groups of GROUPS. It says each code and
// token that it gives, so that a story can look for them where they must not be.
//
// node provider.mjs LIBRARY ISSUER CLIENT-SECRET APPLICATION token|userinfo
import http from 'node:http';
import { pathToFileURL } from 'node:url';

const [library, issuer, secret, application, where] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(library).href);

const GROUPS = { erika: ['releasers', 'staff'], otto: ['staff'] };
const SCOPES = 'openid profile groups';

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'pointsman',
    client_secret: secret,
    redirect_uris: [`${application}/sign-in/oidc/back`],
    post_logout_redirect_uris: [`${application}/sign-in`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  cookies: { keys: ['for the tests only'] },
  claims: { openid: ['sub'], profile: ['preferred_username', 'name'], groups: ['groups'] },
  scopes: SCOPES.split(' '),
  // Groups in the ID token, or at the userinfo endpoint only.
  conformIdTokenClaims: where === 'userinfo',
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: `account-of-${id}`, preferred_username: id, name: `<b>${id}</b>`, groups: GROUPS[id] ?? [] }),
  }),
  // Nobody is asked whether the application may know who they are.
  async loadExistingGrant(ctx) {
    const { client, session } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(SCOPES);
    await grant.save();
    return grant;
  },
});

provider.on('grant.success', (ctx) => {
  const { access_token: access, id_token: id } = ctx.body;
  for (const given of [ctx.oidc.params.code, ctx.oidc.params.code_verifier, access, id]) console.log(`gave ${given}`);
});

const page = (text) => `<!doctype html><html lang="en"><title>Provider</title><link rel="icon" href="data:,"><main>${text}</main></html>`;
const form = page('<h1>Provider</h1><form method="post"><label>Name <input id="login" name="login"></label><button>Go</button></form>');

async function interaction(request, response) {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(form);
    return;
  }
  let body = '';
  for await (const piece of request) body += piece;
  const accountId = new URLSearchParams(body).get('login');
  const result = accountId
    ? { login: { accountId } }
    : { error: 'access_denied', error_description: 'Nobody gave a name' };
  await provider.interactionFinished(request, response, result);
}

const answer = provider.callback();
const { hostname, port } = new URL(issuer);
http.createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  return interaction(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
}).listen(Number(port), hostname, () => console.log('ready'));
