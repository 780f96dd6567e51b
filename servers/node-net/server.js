// One thread, one event loop: libuv tells Node what is ready, Node calls back.
//
// What it costs: per echo a read, a write, and for each the way from C++ to JavaScript and back; a
// buffer of Node's own for every read, which is collected later.
//
// The trap: write() never refuses. What the socket does not take is kept, however much it is, so a
// server that ignores the `false` it returns is filled by a peer that does not read.
//
// Node reads up to 64 KiB at once, and a server cannot say otherwise.
"use strict";

const fs = require("fs");
const net = require("net");

const BACKLOG_MAX = 65535;

function fail(exitCode, message) {
  fs.writeSync(2, `node-net: ${message}\n`);
  process.exit(exitCode);
}

// LISTEN as net.Server.listen() takes it; undefined when it is none.
function parseListen(text) {
  const path = /^unix:\/\/(\/.+)$/.exec(text);
  if (path) return { path: path[1] };
  const tcp = /^tcp:\/\/(?:\[(.+)\]|([^:[\]]+)):(\d+)$/.exec(text);
  if (!tcp) return undefined;
  const host = tcp[1] ?? tcp[2];
  const port = Number(tcp[3]);
  if (net.isIP(host) !== (tcp[1] ? 6 : 4) || port < 1 || port > 65535) return undefined;
  return { host, port, ipv6Only: true };
}

// The handlers are shared by all connections: a closure for each would be memory for each.
function onData(bytes) {
  if (!this.write(bytes)) this.pause();
}

function onDrain() {
  this.resume();
}

function onEnd() {
  this.end(); // what is pending goes first
}

function onError() {
  this.destroy(); // a reset, or a peer that is gone: the end of this connection and no other
}

function onConnection(socket) {
  socket.on("data", onData).on("drain", onDrain).on("end", onEnd).on("error", onError);
}

function main() {
  if (process.argv[2] === "--version") {
    console.log(`Node.js ${process.version}, libuv ${process.versions.uv}`);
    return;
  }
  const listen = process.env.LISTEN ?? "tcp://0.0.0.0:7000";
  const address = parseListen(listen);
  if (!address) {
    fail(2, `LISTEN='${listen}': expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH`);
  }
  const backlog = Number(process.env.BACKLOG ?? 4096);
  if (!Number.isInteger(backlog) || backlog < 1 || backlog > BACKLOG_MAX) {
    fail(2, `BACKLOG='${process.env.BACKLOG}': expected a number from 1 to ${BACKLOG_MAX}`);
  }
  // Without allowHalfOpen Node would end its side as soon as the peer ends its own.
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, onConnection);
  server.on("error", (error) => {
    // Without a free descriptor libuv accepts and closes what waits; the server goes on.
    if (error.syscall !== "accept") fail(1, error.message);
  });
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => {
      server.close(); // removes the path of a unix:// address
      process.exit(0);
    });
  }
  server.listen({ ...address, backlog });
}

main();
