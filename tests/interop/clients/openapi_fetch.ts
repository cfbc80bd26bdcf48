// Plays openapi-fetch with the types that openapi-typescript makes:
// node built/openapi_fetch.js URL, compiled beside schema.d.ts.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Task = components["schemas"]["Task"];
declare const process: { argv: string[] };

// A listing is JSON, unless lines are asked for, which are text.
type Media = "application/json" | "application/problem+json";
const baseUrl = process.argv[2] ?? "";
const client = createClient<paths, Media>({ baseUrl });
const lineClient = createClient<paths>({ baseUrl });
// The largest integer that JavaScript can tell from its neighbours, less
// one.
const numbers = [Number.MAX_SAFE_INTEGER - 1, 1];

function same<T>(found: T, expected: T): void {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${left} is not ${right}`);
}

function there<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("nothing is there");
  return value;
}

async function finished(task: Task): Promise<Task> {
  const { data } = await client.GET("/tasks/{task_id}", {
    params: { path: { task_id: task.task_id }, query: { wait: true, since: 2 } },
  });
  return there(data);
}

const keyed = { header: { "Idempotency-Key": '"a"' } };
const submitted = await client.POST("/tasks", {
  params: keyed,
  body: { task_type: "compute_sum", parameters: { numbers } },
});
same(submitted.response.status, 202);
const task = there(submitted.data);
same(task.status, "queued");

const completed = await finished(task);
same(completed.status, "completed");
same(there(completed.result)["sum"], Number.MAX_SAFE_INTEGER);

const reused = await client.POST("/tasks", {
  params: keyed,
  body: { task_type: "simulate_failure", parameters: {} },
});
same(reused.response.status, 422);
same(there(reused.error).code, "idempotency_key_reused");

const second = await client.POST("/tasks", {
  body: { task_type: "simulate_failure", parameters: {}, priority: "high" },
});
const failed = await finished(there(second.data));
same(there(failed.error).code, "task_failed");

const listed = await client.GET("/tasks", { params: { query: { status: "failed" } } });
same(there(listed.data).map((each) => each.task_id), [failed.task_id]);

const invalid = await client.GET("/tasks", { params: { query: { limit: 0 } } });
same(invalid.response.status, 400);
same(there(there(invalid.error).errors).map((fault) => fault.parameter), ["limit"]);

const task_id = "00000000-0000-4000-8000-000000000000";
const unfound = await client.GET("/tasks/{task_id}", { params: { path: { task_id } } });
same(there(unfound.error).code, "task_not_found");

const late = await client.DELETE("/tasks/{task_id}", {
  params: { path: { task_id: task.task_id } },
});
same(late.response.status, 409);
same(there(late.error).code, "task_finished");

// That was the ninth request of this client; ten are allowed.
const lines = await lineClient.GET("/tasks", {
  headers: { Accept: "application/x-ndjson" },
  parseAs: "text",
});
same(there(lines.data).trimEnd().split("\n").length, 2);
const refused = await client.GET("/tasks");
same(refused.response.status, 429);
same(there(there(refused.error)["violated-policies"]), ["default"]);
same(Number(refused.response.headers.get("Retry-After")) >= 1, true);

const health = await client.GET("/health");
same(there(health.data).tasks, 2);
