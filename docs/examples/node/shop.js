// A shop's side of payment requests, with pg.
//
// usage: node shop.js create ADDRESS AMOUNT SECONDS | wait ID SECONDS | ship ID | cancel ID | extend ID SECONDS
'use strict';

const { Client } = require('pg');

const FINAL = ['paid', 'expired', 'cancelled'];

// Amounts stay text: a number of JavaScript has 53 bits, a token 18 decimals.
async function create(db, address, amount, seconds) {
  const { rows } = await db.query(
    'INSERT INTO payment_requests (pay_to, amount, expires_at)' +
    ' VALUES ($1, $2::numeric, now() + make_interval(secs => $3)) RETURNING id', [address, amount, seconds]);
  return rows[0].id;
}

async function look(db, id) {
  const { rows } = await db.query(
    "SELECT status, trim_scale(coalesce(received, 0)) || ' of ' || trim_scale(amount) AS paid" +
    ' FROM payment_requests WHERE id = $1', [id]);
  return rows[0];
}

// Until a notification comes, or so many milliseconds are over
function hint(db, ms) {
  return new Promise((resolve) => {
    const done = () => { clearTimeout(timer); db.removeListener('notification', done); resolve(); };
    const timer = setTimeout(done, ms).unref(); // the connection keeps the process
    db.on('notification', done);
  });
}

async function wait(db, id, seconds) {
  const deadline = Date.now() + seconds * 1000;
  await db.query('LISTEN reconciler');
  for (;;) {
    // Listened for before the look: what happens in between is not missed.
    const hinted = hint(db, Math.max(0, Math.min(deadline - Date.now(), 10000)));
    const { status, paid } = await look(db, id);
    if (FINAL.includes(status) || Date.now() >= deadline) return `${status} ${paid}`;
    await hinted;
  }
}

async function ship(db, id) {
  await db.query('BEGIN');
  // The key of shipments decides, in the transaction that ships.
  const { rowCount } = await db.query(
    'INSERT INTO shipments (request_id)' +
    " SELECT id FROM payment_requests WHERE id = $1 AND status = 'paid'" +
    ' ON CONFLICT DO NOTHING', [id]);
  await db.query('COMMIT');
  return rowCount === 1 ? 'shipped' : 'not shipped';
}

async function cancel(db, id) {
  const { rowCount } = await db.query(
    "UPDATE payment_requests SET status = 'cancelled' WHERE id = $1 AND status = 'awaiting_payment'", [id]);
  return rowCount === 1 ? 'cancelled' : 'not cancelled';
}

async function extend(db, id, seconds) {
  const { rowCount } = await db.query(
    "UPDATE payment_requests SET status = 'awaiting_payment', expires_at = now() + make_interval(secs => $2)" +
    " WHERE id = $1 AND status = 'expired'", [id, seconds]);
  return rowCount === 1 ? 'extended' : 'not extended';
}

async function main([command, ...args]) {
  const run = { create, wait, ship, cancel, extend }[command];
  if (!run || args.length === 0) throw new Error('usage: create, wait, ship, cancel, extend');
  const db = new Client();
  await db.connect();
  try {
    console.log(await run(db, ...args));
  } finally {
    await db.end();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
