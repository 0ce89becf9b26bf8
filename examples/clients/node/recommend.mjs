// Recommendations for a user, from Node with nothing but the .proto files.
//
//     npm install && node recommend.mjs USER
//
// The environment says the rest: PENCHANT_CLIENT_ADDRESS, for TLS PENCHANT_CLIENT_CA (a PEM file), and
// PENCHANT_CLIENT_TOKEN. Exit 0: printed, 1: the server refused or was not there.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const { PENCHANT_CLIENT_ADDRESS: address = "localhost:50051", PENCHANT_CLIENT_CA: ca, PENCHANT_CLIENT_TOKEN: token } =
  process.env;
const user = process.argv[2] ?? "user-17";

const protos = fileURLToPath(new URL("../../../protos/", import.meta.url));
const options = { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true };
const { penchant } = grpc.loadPackageDefinition(loader.loadSync("penchant/v1/interest.proto", options));

const credentials = ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure();
const client = new penchant.v1.InterestService(address, credentials, {
  // Calls go to all addresses of the name; the default stays with the first.
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.max_reconnect_backoff_ms": 1_000, // a server that was restarted is soon found again
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
});

const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\]):\d+$/.test(address);
if (token && !ca && !isLoopback) {
  console.error("A token is not sent without TLS to another machine: set PENCHANT_CLIENT_CA.");
  process.exit(1);
}

const { UNAVAILABLE, RESOURCE_EXHAUSTED, CANCELLED } = grpc.status;
const [DEADLINE_MS, RETRIES, FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [5_000, 5, 100, 5_000];

// Asks, and asks again where that helps, all within DEADLINE_MS. Right for calls that are harmless to repeat, which are
// all of the contract's but RollbackModel without from_version.
async function ask(rpc, request) {
  const ends = Date.now() + DEADLINE_MS;
  for (let failures = 0; ; ) {
    try {
      return await once(rpc, request, ends);
    } catch (error) {
      failures += 1;
      const pause = pauseMs(error, failures);
      if (pause === null || failures > RETRIES || Date.now() + pause >= ends) throw error;
      await sleep(pause);
    }
  }
}

function once(rpc, request, deadline) {
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  return new Promise((resolve, reject) =>
    client[rpc](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
}

// Until when to wait before the next try; null where another is wrong. Random, so that callers do not all come back
// at once. A server that stops cancels what it had not begun.
function pauseMs(error, failures) {
  const asked = retryInfoMs(error);
  if (asked !== null && [UNAVAILABLE, RESOURCE_EXHAUSTED].includes(error.code)) return asked * (1 + Math.random() / 10);
  if (![UNAVAILABLE, CANCELLED].includes(error.code)) return null;
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

// The delay of the google.rpc.RetryInfo among an error's details, in milliseconds; null where there is none.
function retryInfoMs(error) {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!packed) return null;
  for (const detail of fields(packed).get(3) ?? []) { // google.rpc.Status.details: Any
    const any = fields(detail);
    if (!any.get(1)?.[0].toString().endsWith("/google.rpc.RetryInfo")) continue;
    const delay = fields(fields(any.get(2)?.[0] ?? Buffer.alloc(0)).get(1)?.[0] ?? Buffer.alloc(0)); // Duration
    return Number(delay.get(1)?.[0] ?? 0) * 1_000 + Number(delay.get(2)?.[0] ?? 0) / 1e6;
  }
  return null;
}

// The fields of a protobuf message by number: numbers, and bytes for what has a length. proto-loader brings no types of
// google.rpc, and these messages have no others.
function fields(bytes) {
  const found = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    let value = varint();
    if ((tag & 7) === 2) value = bytes.subarray(at, (at += Number(value)));
    found.set(tag >> 3, [...(found.get(tag >> 3) ?? []), value]);
  }
  return found;
}

try {
  const { items, model_version } = await ask("Recommend", { user, k: 5, skip_contributions: true });
  for (const { item, probability } of items) console.log(`show ${item}: ${probability.toFixed(4)}`);
  console.log(`from ${model_version}`);
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "ERROR"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}
