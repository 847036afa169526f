// Drives the API with an unmodified ketting: nothing here knows an address beyond /api, nor how a form is sent.
//
//   node walk.mjs <address of the API> <bearer token> <folder with node_modules>
//
// Prints one JSON document that says what was met on the way.

import { createRequire } from 'node:module';

const [address, token, home] = process.argv.slice(2);
const { Client, bearerAuth } = createRequire(`${home}/`)('ketting');

function clientFor(bearer) {
  const client = new Client(`${address}/api`);
  if (bearer) client.use(bearerAuth(bearer));
  return client;
}

const read = async (resource) => (await resource).get();
const actionsOf = (state) => state.actions().map((action) => action.name).sort();
const fieldsOf = (action) => Object.fromEntries(action.fields.map((field) => [field.name, field]));

const met = { warnings: [] };
console.warn = (...words) => met.warnings.push(words.join(' '));

// Somebody unknown: the entry, the templated search, the categories, the pages of a list.
const stranger = clientFor(null);
const entry = await stranger.go().get();
met.entry = { data: entry.data, actions: actionsOf(entry) };

const found = await read(stranger.follow('search', { search: 'bicycle', limit: 2 }));
met.search = {
  uri: found.uri.replace(address, ''),
  total: found.data.totalItems,
  titles: found.getEmbedded().map((state) => state.data.title),
  actions: actionsOf(found),
};
const second = await read(found.follow('next'));
met.next = { titles: second.getEmbedded().map((state) => state.data.title), hasNext: second.links.has('next') };
met.categories = (await read(stranger.follow('mkt:categories'))).getEmbedded().length;

try {
  await read(stranger.follow('mkt:listings').follow('nothing-of-the-kind'));
} catch (error) {
  met.unknownRelation = error.constructor.name;
}
try {
  await stranger.go('/api/listings/999999999').get();
} catch (error) {
  met.problem = { kind: error.constructor.name, status: error.status, code: error.body?.code };
}

// Registering is a form on the entry; its answer holds the token.
const registered = await entry.action('register').submit({
  username: 'ketting.user', email: 'ketting.user@people.example', password: 'correct horse battery',
});
met.registered = registered.data.username;
const me = await read(clientFor(registered.data.token).follow('mkt:me'));
met.me = { username: me.data.username, actions: actionsOf(me) };

// The owner: create by the form of the collection, follow to it, edit, take a step, delete.
const owner = clientFor(token);
const listings = await read(owner.follow('mkt:listings'));
const form = listings.action('create');
met.form = {
  actions: actionsOf(listings),
  title: form.title, method: form.method, uri: form.uri.replace(address, ''), contentType: form.contentType,
  fields: fieldsOf(form),
};
try {
  await form.submit({ title: 'Incomplete' });
} catch (error) {
  met.incomplete = error.message;
}
const created = await form.submit({
  title: 'Cargo bicycle', category: 'bicycles', price: 1900.5, currency: 'EUR',
  location: { city: 'Berlin', latitude: 52.538123, longitude: 13.410456 }, amenities: ['lights'],
});
const listing = await read(created.follow('self'));
met.created = { data: listing.data, uri: listing.uri.replace(address, ''), actions: actionsOf(listing) };

const edit = listing.action('edit');
met.edit = { method: edit.method, fields: fieldsOf(edit) };
const edited = await edit.submit({ title: 'Cargo bicycle, two seats' });
met.edited = edited.data;

// What was read may be sent back by the client's own means. (Not as the state itself: ketting 8.0 would send along the
// Content-Length of the answer that it came in, which Node.js refuses.)
const again = await owner.go(listing.uri).refresh();
await owner.go(listing.uri).put({ data: { ...again.data, description: 'Carries two children.' } });
met.put = (await owner.go(listing.uri).refresh()).data;

const sold = await (await owner.go(listing.uri).refresh()).action('mark-sold').submit({});
met.sold = { status: sold.data.status, actions: actionsOf(sold) };
met.owner = (await read(sold.follow('mkt:owner'))).data.username;

const deleted = await sold.action('delete').submit({});
met.deleted = deleted.data;
try {
  await clientFor(token).go(listing.uri).get();
} catch (error) {
  met.afterwards = error.status;
}

const mine = await read(owner.follow('mkt:my-listings'));
met.mine = mine.data.totalItems;
const out = await (await owner.go().refresh()).action('logout').submit({});
met.loggedOut = out.data;
try {
  await read(clientFor(token).follow('mkt:me'));
} catch (error) {
  met.loggedOutStatus = error.status;
}

console.log(JSON.stringify(met));
