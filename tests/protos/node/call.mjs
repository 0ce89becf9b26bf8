// Makes every call of the API once and prints one JSON line for each: {"rpc": …, "answer": …} or {"rpc": …, "error": …}.
//
//     node call.mjs HOST:PORT
//
// Asks about the first user, item, category, segment and model that the server lists; what it writes has ids that begin
// with "node-client-", and is deleted again. Exit 0: all calls succeeded, 1: some failed, 2: some rpc was not called.
import { fileURLToPath } from "node:url";
import { readdirSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const target = process.argv[2];
if (!target) {
  console.error("usage: node call.mjs HOST:PORT");
  process.exit(2);
}

const root = fileURLToPath(new URL("../../../protos/", import.meta.url));
const files = readdirSync(`${root}penchant/v1`).filter((name) => name.endsWith(".proto"));
const definition = loader.loadSync(
  files.map((name) => `penchant/v1/${name}`),
  { includeDirs: [root], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true },
);
const api = grpc.loadPackageDefinition(definition).penchant.v1;

const clients = {}; // a client of the service that has the rpc, by rpc
for (const Service of Object.values(api).filter((value) => value.service)) {
  const client = new Service(target, grpc.credentials.createInsecure());
  for (const rpc of Object.keys(Service.service)) clients[rpc] = client;
}

const uncalled = new Set(Object.keys(clients));
let failed = false;

async function call(rpc, request) {
  uncalled.delete(rpc);
  try {
    const answer = await send(rpc, request);
    console.log(JSON.stringify({ rpc, answer }));
    return answer;
  } catch (error) {
    failed = true;
    console.log(JSON.stringify({ rpc, error: { code: grpc.status[error.code], message: error.details ?? `${error}` } }));
    return null;
  }
}

function send(rpc, request) {
  const client = clients[rpc];
  const deadline = { deadline: Date.now() + 20_000 };
  if (client[rpc].responseStream) {
    return new Promise((resolve, reject) => {
      const chunks = [];
      const uploads = client[rpc].requestStream;
      const stream = uploads ? client[rpc](deadline) : client[rpc](request, deadline);
      if (uploads) {
        stream.write(request);
        stream.end();
      }
      stream.on("data", (chunk) => chunks.push(summary(chunk)));
      stream.on("error", reject);
      stream.on("end", () => resolve({ chunks }));
    });
  }
  return new Promise((resolve, reject) =>
    client[rpc](request, deadline, (error, answer) => (error ? reject(error) : resolve(summary(answer)))),
  );
}

// Vectors as numbers instead of bytes: what a caller in Node would do with them.
function summary(answer) {
  if (answer.vectors?.data) answer.vectors = floats(answer.vectors);
  if (answer.interests?.vectors?.data) answer.interests.vectors = floats(answer.interests.vectors);
  return answer;
}

function floats({ rows, dim, element_type, data }) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const numbers = Array.from({ length: rows * dim }, (_, index) => view.getFloat32(4 * index, true));
  return { rows, dim, element_type, first: numbers.slice(0, dim), bytes: data.length };
}

const info = await call("GetServerInfo", {});
const item = (await call("ListItems", { page_size: 2 }))?.items[0]?.id ?? "";
const category = (await call("ListCategories", { page_size: 2 }))?.categories[0]?.id ?? "";
const user = (await call("ListUsers", { page_size: 2 }))?.users[0]?.id ?? "";
const segment = (await call("ListSegments", {}))?.segments[0]?.id ?? "";
const model = (await call("ListModels", {}))?.models[0]?.id ?? "";

await call("GetItem", { item });
await call("GetCategory", { category });
await call("GetUser", { user });
await call("GetSegment", { segment });
await call("GetModel", { model });

await call("Score", { user, items: [item, "node-client-no-such-item"] });
await call("Recommend", { user, k: 3, filter: { items_out: [item], seen: "SEEN_RULE_EXCLUDE" } });
await call("GetInterests", { user, k: 3, view: "INTEREST_VIEW_FULL" });
await call("FindSimilar", { item, target: "ENTITY_KIND_ITEM", k: 3 });
await call("FindSimilar", { category, target: "ENTITY_KIND_ITEM", k: 3 });
await call("ListMembers", { segment, page_size: 2 });
await call("AssignSegments", { users: [user] });

const vectors = await call("BatchGetEmbeddings", { kind: "ENTITY_KIND_ITEM", ids: [item] });
const vector = { vector_space: vectors?.vector_space, values: vectors?.vectors?.first };
await call("FindSimilar", { vector, target: "ENTITY_KIND_ITEM", k: 3 });
await call("ExportEmbeddings", { kind: "ENTITY_KIND_CATEGORY" });

const own = { item: "node-client-item", category: "node-client-category", user: "node-client-user" };
const attributes = { fields: { from: { stringValue: "node" } } };
await call("UpsertCategories", { categories: [{ id: own.category, name: "Node" }] });
await call("UpsertItems", { items: [{ id: own.item, name: "Node", categories: [own.category], attributes }] });
await call("UpsertItems", { items: [{ id: own.item, name: "Node 2" }], update_mask: { paths: ["name"] } });
await call("UpsertUsers", { users: [{ id: own.user, attributes }] });
const occurred_at = { seconds: Math.floor(Date.now() / 1000) - 1, nanos: 0 };
const event = { event_id: `node-client-${Date.now()}`, user: own.user, item: own.item, kind: "view", occurred_at };
await call("RecordEvents", { events: [event, event] });
await call("StreamEvents", { batch: 1, events: [event] });
await call("DeleteItem", { item: own.item });
await call("DeleteCategory", { category: own.category });
await call("DeleteUser", { user: own.user });

// Neither changes which revision answers: the first is active already, the second is not.
await call("ActivateModel", { version: info?.model_version ?? "", reason: "node client" });
await call("RollbackModel", { from_version: "m0.0", reason: "node client" });

// A label that takes nobody.
await call("SetLabel", { label: "node", version: info?.model_version ?? "" });
await call("ListLabels", {});
await call("DeleteLabel", { label: "node" });

if (uncalled.size) console.error(`not called: ${[...uncalled].join(", ")}`);
process.exit(uncalled.size ? 2 : failed ? 1 : 0);
