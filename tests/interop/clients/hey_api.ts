// Plays the functions that @hey-api/openapi-ts generates:
// node built/hey_api.js URL, compiled beside client/.

import { cancelTask, getTask, health, listTasks, submitTask } from "./client/index.js";
import type { Task } from "./client/index.js";
import { client } from "./client/client.gen.js";

declare const process: { argv: string[] };

client.setConfig({ baseUrl: process.argv[2] ?? "" });
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
  const { data } = await getTask({
    path: { task_id: task.task_id },
    query: { wait: true, since: 2 },
  });
  return there(data);
}

const headers = { "Idempotency-Key": '"a"' };
const submitted = await submitTask({
  headers,
  body: { task_type: "compute_sum", parameters: { numbers } },
});
same(submitted.response?.status, 202);
const task = there(submitted.data);
same(task.status, "queued");

const completed = await finished(task);
same(completed.status, "completed");
same(there(completed.result)["sum"], Number.MAX_SAFE_INTEGER);

const reused = await submitTask({
  headers,
  body: { task_type: "simulate_failure", parameters: {} },
});
same(reused.response?.status, 422);
same(there(reused.error).code, "idempotency_key_reused");

const second = await submitTask({
  body: { task_type: "simulate_failure", parameters: {}, priority: "high" },
});
const failed = await finished(there(second.data));
same(there(failed.error).code, "task_failed");

const listed = await listTasks({ query: { status: "failed" } });
same(there(listed.data).map((each: Task) => each.task_id), [failed.task_id]);

const invalid = await listTasks({ query: { limit: 0 } });
same(invalid.response?.status, 400);
same(there(there(invalid.error).errors).map((fault) => fault.parameter), ["limit"]);

const task_id = "00000000-0000-4000-8000-000000000000";
const unfound = await getTask({ path: { task_id } });
same(there(unfound.error).code, "task_not_found");

const late = await cancelTask({ path: { task_id: task.task_id } });
same(late.response?.status, 409);
same(there(late.error).code, "task_finished");

// That was the ninth request of this client; ten are allowed.
await listTasks();
const refused = await listTasks();
same(refused.response?.status, 429);
same(there(there(refused.error)["violated-policies"]), ["default"]);
same(Number(refused.response?.headers.get("Retry-After")) >= 1, true);

const counts = await health();
same(there(counts.data).tasks, 2);
