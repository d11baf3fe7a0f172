// ioredis on every replica: node ioredis.js PORT...
'use strict';
const Redis = require('ioredis');
const {exercise} = require('./exercise.js');

async function open(port, onLost) {
  const redis = new Redis(port, '127.0.0.1', {retryStrategy: null});
  redis.on('error', () => {}); // the end follows
  redis.on('end', onLost);
  await redis.ping();
  return {
    do: (name, ...words) => redis[name](...words),
    async transaction(commands) {
      const replies = await redis.multi(commands).exec();
      return replies.map(([error, reply]) => { if (error) throw error; return reply; });
    },
    close: () => redis.quit(),
  };
}

exercise(open).catch((error) => { console.error(error); process.exit(1); });
