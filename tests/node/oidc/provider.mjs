// The certified OpenID provider of npm, for tests: one client, its own sign-in forms, accounts from
// the command line. Prints its address once it listens on loopback; ends with its standard input.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { client, accounts, groupsIn } = JSON.parse(process.argv[2]);
const server = createServer();

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [client],
    claims: { openid: ['sub'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'groups'],
    conformIdTokenClaims: groupsIn === 'userinfo',
    pkce: { required: () => true },
    cookies: { keys: ['of a test'] },
    findAccount: (_ctx, id) => id in accounts && {
      accountId: id,
      claims: () => ({ sub: id, ...accounts[id] }),
    },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
