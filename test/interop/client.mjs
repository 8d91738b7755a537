// What a client in JavaScript relies on, with Node's own http alone: node client.mjs PORT KINDS.json (client.py starts it).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';

const [port, file] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const JSON_TYPE = 'application/json; charset=utf-8';
const PROBLEM = 'application/problem+json; charset=utf-8';
const sockets = new Set();

function open(method, path, body, ownAgent = agent) {
  return new Promise((resolve, reject) => {
    const request = http.request({port, host: '127.0.0.1', method, path, agent: ownAgent}, resolve);
    request.on('error', reject);
    request.on('socket', socket => ownAgent === agent && sockets.add(socket));
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function call(method, path, body) {
  const answer = await open(method, path, body);
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) text += piece;
  return {status: answer.statusCode, type: answer.headers['content-type'], body: text ? JSON.parse(text) : null};
}

async function watch(path) {
  const answer = await open('GET', path, undefined, new http.Agent());
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.headers['content-type'], 'application/x-ndjson');
  assert.equal(answer.headers['transfer-encoding'], 'chunked');
  const pieces = answer.setEncoding('utf8')[Symbol.asyncIterator]();
  let buffer = '';
  return {
    async line() {
      while (!buffer.includes('\n')) {
        const {value, done} = await pieces.next();
        assert(!done, 'the stream has ended');
        buffer += value;
      }
      const end = buffer.indexOf('\n');
      const line = buffer.slice(0, end);
      buffer = buffer.slice(end + 1);
      assert(!line.includes('\r'));
      return line;
    },
    close: () => answer.destroy(),
  };
}

async function life({kind, api, collection, body, sameIsOk}) {
  const path = `${collection}/interop`;
  const events = await watch(`${collection}?watch=&heartbeat=0`);
  const event = async (type, uid) => {
    const came = JSON.parse(await events.line());
    assert.deepEqual([came.type, came.object.metadata.uid], [type, uid]);
  };
  const made = await call('POST', collection, body);
  assert.deepEqual([made.status, made.type, made.body.api, made.body.kind], [200, JSON_TYPE, api, kind], JSON.stringify(made.body));
  const {uid} = made.body.metadata;
  await event('ADDED', uid);
  const taken = await call('POST', collection, body);
  assert.deepEqual([taken.status, taken.type, taken.body.title], [409, PROBLEM, 'RESOURCE_ALREADY_EXISTS']);
  const list = await call('GET', collection);
  assert.deepEqual([list.status, list.type, list.body.kind, list.body.items.map(item => item.metadata.uid)], [200, JSON_TYPE, `${kind}List`, [uid]]);
  const same = await call('PUT', path, made.body);
  assert.equal(same.status, sameIsOk ? 200 : 400);
  if (!sameIsOk) assert.deepEqual([same.type, same.body.title], [PROBLEM, 'UPDATE_ERROR']);
  const changed = await call('PUT', path, {...made.body, metadata: {...made.body.metadata, labels: {colour: 'red'}}});
  assert.deepEqual([changed.status, changed.body.metadata.labels], [200, {colour: 'red'}]);
  await event('MODIFIED', uid);
  const deleted = await call('DELETE', path);
  assert.deepEqual([deleted.status, deleted.body.metadata.finalizers], [200, ['cascade_deletion']]);
  await event('MODIFIED', uid);
  const last = await call('PUT', path, {...deleted.body, metadata: {...deleted.body.metadata, finalizers: []}});
  assert.equal(last.status, 200);
  await event('DELETED', uid);
  events.close();
  const gone = await call('GET', path);
  assert.deepEqual([gone.status, gone.type, gone.body.title, gone.body.status], [404, PROBLEM, 'NOT_FOUND_ERROR', 404]);
  assert.deepEqual([(await call('PUT', path)).status, (await call('PUT', path, {})).status], [415, 422]);
}

const kinds = JSON.parse(fs.readFileSync(file, 'utf8'));
for (const kind of kinds) await life(kind).catch(error => { throw new Error(`${kind.kind}: ${error.message}`, {cause: error}); });
const beats = await watch('/core/roles?watch&heartbeat=1');
assert.equal(await beats.line(), '');
beats.close();
assert.equal(sockets.size, 1, 'one connection serves all requests');
agent.destroy();
console.log(`client.mjs: ${kinds.length} kinds, ${sockets.size} connection`);
