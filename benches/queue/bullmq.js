// BullMQ's side of the bench: reads commands from standard input, answers each with a line of JSON.
//
// Usage: node bullmq.js PORT, where Redis listens. Commands: `one MS`, `many MS`, `bulk MS`,
// `work CONCURRENCY JOBS`, `start ROUNDS`, `memory JOBS`.
'use strict';
const readline = require('node:readline');
const { Queue, Worker } = require('bullmq');

const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const data = { text: 'x'.repeat(89) }; // 100 bytes of JSON
const opts = { removeOnComplete: true };
const queue = new Queue('bench', { connection });

const seconds = (from) => Number(process.hrtime.bigint() - from) / 1e9;

async function add(ms, inFlight) {
  const from = process.hrtime.bigint();
  let count = 0;
  const producer = async () => {
    while (seconds(from) * 1000 < ms) {
      await queue.add('j', data, opts);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, producer));
  const rate = count / seconds(from);
  await queue.obliterate({ force: true });
  return { rate };
}

async function bulk(ms) {
  const jobs = Array.from({ length: 1000 }, () => ({ name: 'j', data, opts }));
  const from = process.hrtime.bigint();
  let count = 0;
  while (seconds(from) * 1000 < ms) {
    await queue.addBulk(jobs);
    count += jobs.length;
  }
  const rate = count / seconds(from);
  await queue.obliterate({ force: true });
  return { rate };
}

async function fill(count) {
  const jobs = Array.from({ length: 1000 }, () => ({ name: 'j', data, opts }));
  for (let done = 0; done < count; done += jobs.length) await queue.addBulk(jobs);
}

async function work(concurrency, count) {
  await fill(count);
  let left = count;
  let from;
  const worker = new Worker('bench', async () => {}, { connection, concurrency, autorun: false });
  await worker.waitUntilReady();
  const done = new Promise((resolve) => worker.on('completed', () => (left -= 1) || resolve()));
  from = process.hrtime.bigint();
  worker.run();
  await done;
  const rate = count / seconds(from);
  await worker.close();
  await queue.obliterate({ force: true });
  return { rate };
}

async function start(rounds) {
  const waits = [];
  let added;
  let next;
  const worker = new Worker(
    'bench',
    async () => {
      waits.push(seconds(added) * 1000);
      next();
    },
    { connection, concurrency: 1 },
  );
  await worker.waitUntilReady();
  for (let round = 0; round < rounds + 10; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const ran = new Promise((resolve) => (next = resolve));
    added = process.hrtime.bigint();
    await queue.add('j', data, opts);
    await ran;
  }
  await worker.close();
  await queue.obliterate({ force: true });
  waits.splice(0, 10);
  waits.sort((a, b) => a - b);
  const at = (share) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))];
  return { p50: at(0.5), p99: at(0.99) };
}

async function memory(count) {
  const client = await queue.client;
  const used = async () => Number(/used_memory:(\d+)/.exec(await client.info('memory'))[1]);
  const before = await used();
  await fill(count);
  const bytes = (await used()) - before;
  await queue.obliterate({ force: true });
  return { bytes };
}

const verbs = {
  one: (ms) => add(ms, 1),
  many: (ms) => add(ms, 100),
  bulk,
  work,
  start,
  memory,
};

async function main() {
  await queue.waitUntilReady();
  console.log(JSON.stringify({ ready: true }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...numbers] = line.trim().split(' ');
    if (!verbs[verb]) break;
    console.log(JSON.stringify(await verbs[verb](...numbers.map(Number))));
  }
  await queue.close();
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
