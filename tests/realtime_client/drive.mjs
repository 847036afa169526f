// Unmodified clients, driven by lines of JSON on standard input; prints a line of JSON for whatever reaches them.
//
//   node drive.mjs <folder with node_modules>
//
//   {op: "socket", id, url, auth}          connects by socket.io; comes back with the id of the last event that it saw
//   {op: "emit", id, event, data, ref}     prints the acknowledgement as "#ack" with the same ref
//   {op: "stream", id, url, token?}        opens an EventSource; only with a token it sends a header
//   {op: "close", id}

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const modules = createRequire(`${process.argv[2]}/`);
const { io } = modules('socket.io-client');
const { EventSource } = modules('eventsource');
const NAMES = [
  'ready', 'reset', 'ended', 'position', 'token.expiring', 'subscription.ended', 'unread.changed', 'message.created',
  'message.updated', 'message.read', 'notification.created', 'listing.updated', 'typing', 'presence',
];
const open = new Map();
const tell = (id, event, data) => process.stdout.write(`${JSON.stringify({ id, event, data })}\n`);

function socket({ id, url, auth }) {
  let last = auth.last_id;
  const client = io(url, {
    transports: ['websocket'], forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500,
    auth: (give) => give({ ...auth, last_id: last }),
  });
  client.on('connect', () => tell(id, '#connect'));
  client.on('disconnect', (reason) => tell(id, '#disconnect', reason));
  client.on('connect_error', (error) => tell(id, '#error', { message: error.message, problem: error.data }));
  client.onAny((event, data) => {
    if (Number.isInteger(data.id) && !['typing', 'presence'].includes(event)) last = data.id;
    tell(id, event, data);
  });
  open.set(id, client);
}

function stream({ id, url, token }) {
  const sent = token && { fetch: (to, init) => fetch(to, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }) };
  const source = new EventSource(url, sent || {});
  source.onopen = () => tell(id, '#connect');
  source.onerror = (error) => tell(id, '#error', { status: error.code, closed: source.readyState === 2 });
  for (const name of NAMES) {
    source.addEventListener(name, (event) => tell(id, name, { ...JSON.parse(event.data), lastEventId: event.lastEventId }));
  }
  open.set(id, source);
}

function emit({ id, event, data, ref }) {
  open.get(id).timeout(20000).emit(event, data, (error, answer) => tell(id, '#ack', { ref, answer: error ? String(error) : answer }));
}

const does = { socket, stream, emit, close: ({ id }) => open.get(id).close() };
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  does[order.op](order);
}
process.exit(0);
