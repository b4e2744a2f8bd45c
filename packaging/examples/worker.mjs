#!/usr/bin/env node
// A worker in Node 18 or newer, without any package: claims jobs, does them, says how they ended.
//
//   PLIMSOLL_URL=http://127.0.0.1:3002 node worker.mjs mail
//
// Stop it with Ctrl-C or SIGTERM: it takes no more jobs and ends the ones that it has.

const base = `${process.env.PLIMSOLL_URL ?? 'http://127.0.0.1:3002'}/api/v1/performance/jobs`;
const token = process.env.PLIMSOLL_TOKEN;
const queue = process.argv[2] ?? 'mail';
const worker = `node-${process.pid}`;
const LEASE_MS = 30_000;

let stopping = false;
const waiting = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    stopping = true;
    waiting.abort();
  });
}

/** What each kind of job does; what it returns is kept as the job's result. */
const handlers = {
  async sum(data) {
    return { sum: data.numbers.reduce((all, one) => all + one, 0) };
  },
};

async function post(path, body, signal) {
  const response = await fetch(`${base}/${encodeURIComponent(queue)}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail ?? response.statusText), { code: problem.code });
}

async function work({ job, token }) {
  const path = `/${encodeURIComponent(job.id)}`;
  // Whoever is silent for longer than the lease loses the job to another worker.
  const beat = setInterval(() => {
    post(`${path}/heartbeat`, { token, leaseMs: LEASE_MS }).catch(() => {});
  }, LEASE_MS / 3);
  try {
    const handler = handlers[job.name];
    if (!handler) {
      const error = { name: 'UnknownJob', message: `no handler for ${job.name}`, retryable: false };
      await post(`${path}/fail`, { token, error });
      return;
    }
    const returnvalue = await handler(job.data);
    await post(`${path}/complete`, { token, returnvalue });
  } catch (error) {
    // Another has it by now: nothing is left to say.
    if (error.code === 'lease-lost') return;
    const { name, message, stack } = error;
    await post(`${path}/fail`, { token, error: { name, message, stack } }).catch(() => {});
  } finally {
    clearInterval(beat);
  }
}

while (!stopping) {
  try {
    const claim = { max: 10, waitMs: 20_000, leaseMs: LEASE_MS, worker };
    const { items } = await post('/claim', claim, waiting.signal);
    await Promise.all(items.map(work));
  } catch (error) {
    if (stopping) break;
    // The queue is made with its first job, and the server may be starting.
    if (error.code !== 'unknown-queue') console.error(`${worker}: ${error.message}`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}
