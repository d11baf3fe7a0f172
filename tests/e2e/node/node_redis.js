// node-redis on every replica: node node_redis.js PORT...
'use strict';
const {createClient} = require('redis');
const {exercise} = require('./exercise.js');

async function open(port, onLost) {
  const client = createClient({socket: {host: '127.0.0.1', port, reconnectStrategy: false}});
  client.on('error', onLost);
  client.on('end', onLost);
  await client.connect();
  return {
    do: (name, ...words) => client.sendCommand([name.toUpperCase(), ...words]),
    async transaction(commands) {
      const multi = client.multi();
      for (const [name, ...words] of commands)
        multi.addCommand([name.toUpperCase(), ...words]);
      return multi.exec();
    },
    close: () => client.quit(),
  };
}

exercise(open).catch((error) => { console.error(error); process.exit(1); });
