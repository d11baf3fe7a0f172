// What both client libraries are made to do, each type in turn, on whichever
// replica's client is next: what one wrote the next must read.
//
// exercise(open) with open(port, onLost) -> client; a client has do(name, ...words), which answers
// as the library answers that command when it is called by its name, and close().  Prints "half" and waits
// for a line: meanwhile a replica is killed.  Prints "fine" at the end.
'use strict';
const assert = require('node:assert');
const readline = require('node:readline');

const STEPS = {
  async strings(on) {
    await on().do('set', 's', 'one');
    assert.equal(await on().do('append', 's', 'two'), 6);
    assert.equal(await on().do('get', 's'), 'onetwo');
    assert.equal(await on().do('incrby', 'n', '5'), 5);
    await on().do('mset', 'a', '1', 'b', '2');
    assert.deepEqual(await on().do('mget', 'a', 'b', 'none'), ['1', '2', null]);
    await on().do('setbit', 'bits', '7', '1');
    assert.equal(await on().do('bitcount', 'bits'), 1);
  },
  async lists(on) {
    assert.equal(await on().do('rpush', 'l', 'a', 'b', 'c'), 3);
    assert.equal(await on().do('lpush', 'l', 'z'), 4);
    assert.deepEqual(await on().do('lrange', 'l', '0', '-1'), ['z', 'a', 'b', 'c']);
    assert.equal(await on().do('lmove', 'l', 'm', 'LEFT', 'RIGHT'), 'z');
    assert.deepEqual(await on().do('blpop', 'm', '1'), ['m', 'z']);
    assert.equal(await on().do('llen', 'l'), 3);
  },
  async hashes(on) {
    assert.equal(await on().do('hset', 'h', 'f', '1', 'g', '2'), 2);
    assert.equal(await on().do('hincrby', 'h', 'f', '41'), 42);
    assert.equal(await on().do('hget', 'h', 'f'), '42');
    assert.deepEqual((await on().do('hmget', 'h', 'g', 'none')), ['2', null]);
    const [, fields] = await on().do('hscan', 'h', '0');
    assert.equal(fields.length, 4);
  },
  async sets(on) {
    assert.equal(await on().do('sadd', 'set', 'x', 'y', 'z'), 3);
    assert.equal(await on().do('sismember', 'set', 'y'), 1);
    const taken = await on().do('spop', 'set');
    assert.ok(['x', 'y', 'z'].includes(taken));
    assert.equal(await on().do('sismember', 'set', taken), 0);
    await on().do('sadd', 'other', 'x', 'y', 'z');
    assert.deepEqual(await on().do('sdiff', 'other', 'set'), [taken]);
  },
  async sortedSets(on) {
    assert.equal(await on().do('zadd', 'zs', '1', 'a', '2', 'b', '3', 'c'), 3);
    assert.equal(Number(await on().do('zincrby', 'zs', '5', 'a')), 6);
    assert.deepEqual(await on().do('zrange', 'zs', '0', '-1'), ['b', 'c', 'a']);
    assert.equal(await on().do('zrank', 'zs', 'a'), 2);
    await on().do('zpopmin', 'zs');
    assert.equal(await on().do('zcard', 'zs'), 2);
    await on().do('geoadd', 'places', '13.4', '52.5', 'Berlin', '2.3', '48.9', 'Paris');
    assert.deepEqual(await on().do('geosearch', 'places', 'FROMLONLAT', '13', '52', 'BYRADIUS', '200', 'km'), ['Berlin']);
  },
  async estimates(on) {
    await on().do('pfadd', 'hll', 'a', 'b', 'c');
    assert.equal(await on().do('pfcount', 'hll'), 3);
  },
  async streams(on) {
    const id = await on().do('xadd', 'st', '*', 'f', 'v');
    assert.equal(await on().do('xlen', 'st'), 1);
    assert.deepEqual(await on().do('xrange', 'st', '-', '+'), [[id, ['f', 'v']]]);
    await on().do('xgroup', 'CREATE', 'st', 'g', '0');
    assert.deepEqual(await on().do('xreadgroup', 'GROUP', 'g', 'me', 'STREAMS', 'st', '>'), [['st', [[id, ['f', 'v']]]]]);
    assert.equal(await on().do('xack', 'st', 'g', id), 1);
  },
  async keys(on) {
    assert.equal(await on().do('expire', 'h', '1000'), 1);
    assert.ok(await on().do('ttl', 'h') > 900);
    assert.equal(await on().do('copy', 'h', 'h2'), 1);
    assert.equal(await on().do('type', 'h2'), 'hash');
    assert.equal(await on().do('del', 'h', 'h2'), 2);
  },
  async transactions(on) {
    const client = on();
    const done = await client.transaction([['rpush', 'q', 'x'], ['incr', 'count'], ['hset', 'hh', 'k', 'v']]);
    assert.deepEqual(done, [1, 1, 1]);
    assert.equal(await on().do('get', 'count'), '1');
  },
};

// Counts through every client until told to end; a client whose replica died may not know about one.
function counter(clients) {
  const state = {acknowledged: 0, unknown: 0, ended: false};
  state.done = Promise.all(clients.map(async (client) => {
    while (!state.ended && clients.includes(client)) {
      try {
        await client.do('incr', 'counted');
        state.acknowledged++;
      } catch (error) {
        state.unknown++;
        return;
      }
    }
  }));
  return state;
}

exports.exercise = async function exercise(open) {
  const clients = [];
  for (const port of process.argv.slice(2)) {
    const client = await open(Number(port), () => clients.includes(client) && clients.splice(clients.indexOf(client), 1));
    clients.push(client);
  }
  let turn = 0;
  const on = () => clients[turn++ % clients.length];
  const all = async () => {
    await on().do('flushall');
    for (const step of Object.keys(STEPS))
      await STEPS[step](on).catch((error) => { throw new Error(`${step}: ${error.stack}`); });
  };
  await all();
  const count = counter(clients);
  const lines = readline.createInterface({input: process.stdin});
  const told = new Promise((resolve) => lines.once('line', resolve));
  console.log('half');
  await told;
  lines.close();
  count.ended = true;
  await count.done;
  assert.equal(clients.length, process.argv.length - 3, 'one replica was killed');
  const counted = Number(await on().do('get', 'counted'));
  assert.ok(count.acknowledged > 0);
  assert.ok(counted >= count.acknowledged && counted <= count.acknowledged + count.unknown, `${counted} ${JSON.stringify(count)}`);
  await all();
  for (const client of clients)
    await client.close();
  console.log('fine');
  process.exit(0); // node-redis keeps what it had for the replica that is gone
};
