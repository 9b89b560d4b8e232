// Lets a queue written in JavaScript make its tables in the database that the
// environment names, do its work there, and prints the statements that it
// really sent for that, as JSON:
//
//   {"enqueue": {"text": "...", "values": [...]}, "claim": ..., "complete": ...,
//    "enqueue_many": ..., "claim_many": ..., "complete_many": ...}
//
// A value is {"id": true} or {"ids": true} where the ids of claimed jobs go,
// {"payload": true} or {"payloads": "..."} where payloads go, else {"is": ...}.
//
//   node capture.mjs graphile|pgboss PAYLOAD

import pg from 'pg';

const batch = 100;
const [peer, payloadText] = process.argv.slice(2);
const payload = JSON.parse(payloadText);
const sent = [];

const query = pg.Client.prototype.query;
pg.Client.prototype.query = function (first, second, ...rest) {
  const text = typeof first === 'string' ? first : first?.text;
  const values = Array.isArray(second) ? second : first?.values;
  if (typeof text === 'string') sent.push({ text, values: values ?? [] });
  return query.call(this, first, second, ...rest);
};

// The first statement among those sent that looks so.
function find(pattern, statements = sent) {
  const found = statements.find(({ text }) => pattern.test(text));
  if (!found) throw new Error(`nothing that was sent looks like ${pattern}`);
  return found;
}

function isPayload(value) {
  try {
    return JSON.stringify(JSON.parse(value)) === JSON.stringify(payload);
  } catch {
    return false;
  }
}

// The statement, with what differs from job to job named.
function describe({ text, values }, ids = []) {
  const isId = (value) => ids.some((id) => String(id) === String(value));
  return {
    text,
    values: values.map((value) => {
      if (typeof value === 'string' && isPayload(value)) return { payload: true };
      if (typeof value === 'string' && value.includes(payload.text)) return { payloads: value };
      if (Array.isArray(value) && ids.length > 0 && value.every(isId)) return { ids: true };
      if (isId(value)) return { id: true };
      return { is: value ?? null };
    }),
  };
}

// ---------------------------------------------------------- graphile-worker

// Runs its worker until there is no job; returns the ids that it worked on.
async function work(graphile, options, utils, settings) {
  const ids = [];
  const left = () =>
    utils.withPgClient((client) => client.query('SELECT FROM graphile_worker._private_jobs'));
  const runner = await graphile.run({
    ...options,
    preset: { worker: { preparedStatements: true, ...settings } },
    taskList: { bench: async (_, { job }) => void ids.push(job.id) },
  });
  while ((await left()).rowCount > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  await runner.stop();
  return ids;
}

async function graphile() {
  const graphile = await import('graphile-worker');
  const options = {
    logger: new graphile.Logger(() => () => {}),
    connectionString: `postgres:///${process.env.PGDATABASE}`,
    noHandleSignals: true,
  };
  const utils = await graphile.makeWorkerUtils(options);
  const jobs = Array.from({ length: batch }, () => ({ identifier: 'bench', payload }));
  let ids;
  await utils.migrate();

  sent.length = 0;
  await utils.addJob('bench', payload);
  const enqueue = describe(find(/\.add_job\(/));
  ids = await work(graphile, options, utils, { concurrentJobs: 1 });
  const claim = describe(find(/^with j as[^]*limit 1\b[^]*skip locked/));
  const complete = describe(find(/^delete from[^]*where id = \$1/), ids);

  // With the settings that make it fast.
  sent.length = 0;
  await utils.addJobs(jobs);
  const enqueue_many = describe(find(/\.add_jobs\(/));
  ids = await work(graphile, options, utils, {
    concurrentJobs: batch,
    localQueue: { size: batch },
    completeJobBatchDelay: 5,
  });
  const claim_many = describe(find(new RegExp(`^with j as[^]*limit ${batch}\\b`)));
  const complete_many = describe(find(/^delete from[^]*unnest/), ids);

  await utils.release();
  return { enqueue, claim, complete, enqueue_many, claim_many, complete_many };
}

// ------------------------------------------------------------------ pg-boss

async function pgboss() {
  const { PgBoss } = await import('pg-boss');
  const boss = new PgBoss({ database: process.env.PGDATABASE, supervise: false, schedule: false });
  const jobs = Array.from({ length: batch }, () => ({ data: payload }));
  let ids;
  boss.on('error', (error) => {
    throw error;
  });
  await boss.start();
  await boss.createQueue('bench');

  sent.length = 0;
  await boss.send('bench', payload);
  const enqueue = describe(find(/INSERT INTO/));
  ids = (await boss.fetch('bench')).map(({ id }) => id);
  const claim = describe(find(/LIMIT 1\b[^]*SKIP LOCKED/));
  await boss.complete('bench', ids[0]);
  const complete = describe(find(/completed_on = /), ids);

  sent.length = 0;
  await boss.insert('bench', jobs);
  const enqueue_many = describe(find(/INSERT INTO/));
  ids = (await boss.fetch('bench', { batchSize: batch })).map(({ id }) => id);
  const claim_many = describe(find(new RegExp(`LIMIT ${batch}\\b[^]*SKIP LOCKED`)));
  await boss.complete('bench', ids);
  const complete_many = describe(find(/completed_on = /), ids);

  await boss.stop({ graceful: false });
  return { enqueue, claim, complete, enqueue_many, claim_many, complete_many };
}

const statements = await { graphile, pgboss }[peer]();
process.stdout.write(JSON.stringify(statements));
process.exit(0);
