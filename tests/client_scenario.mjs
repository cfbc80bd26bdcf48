// What TaskClient of taskmanager/live/client.mjs has to do, in Node and in
// a browser alike: play() throws where it does something else.

import {
  BrokenAnswerError,
  DeadlineExceededError,
  ProblemError,
  TaskCancelledError,
  TaskClient,
  TaskFailedError,
} from "./client.mjs";

const TASK = { task_id: "a", status: "completed", version: 3, finished_at: "" };

function check(holds, what) {
  if (!holds) throw new Error(`it does not hold: ${what}`);
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}

// Against a server: its work takes a fifth of the time, and it accepts
// 10 requests in 2 s.
export async function play(url) {
  let refused = 0;
  const counting = async (...call) => {
    const answer = await fetch(...call);
    refused += answer.status === 429;
    return answer;
  };
  const client = new TaskClient(url, { fetch: counting });

  const seen = [];
  const progress = (task) => seen.push(task.status);
  const result = await client.run("compute_sum", { numbers: [1, 2, 3] }, { progress });
  check(result.sum === 6, "the result");
  check(seen[0] === "queued" && seen.at(-1) === "completed", `progress: ${seen}`);

  const key = `key "${Math.random()}"`;
  const numbers = { numbers: [2 ** 53 - 1, 1e300] };
  const first = await client.submit("compute_sum", numbers, { key });
  const again = await client.submit("compute_sum", numbers, { key });
  check(first.task_id === again.task_id, "a key runs once");
  const reused = await errorOf(client.submit("compute_sum", { numbers: [1] }, { key }));
  check(reused instanceof ProblemError, "a reused key");
  check(reused.code === "idempotency_key_reused", reused.code);

  const invalid = await errorOf(client.submit("compute_sum", {}));
  check(invalid.status === 400 && invalid.errors.length === 1, "an invalid one");
  const large = await errorOf(client.submit("compute_sum", { numbers: [2 ** 53] }));
  check(large instanceof RangeError, "an integer that is not exact");

  const failed = await errorOf(client.run("simulate_failure", { message: "so" }));
  check(failed instanceof TaskFailedError, "a failed task");
  check(failed.message === "task_failed: so", failed.message);

  const report = await client.submit("generate_report", { title: "x" });
  const waiting = errorOf(client.wait(report));
  await client.cancel(report.task_id);
  check((await waiting) instanceof TaskCancelledError, "a cancelled task");

  const unfinished = await client.submit("generate_report", { title: "x" });
  const late = await errorOf(client.wait(unfinished, { timeout: 0.5 }));
  check(late instanceof DeadlineExceededError, "the deadline");
  check(late.taskId === unfinished.task_id, "the deadline's task");

  const listed = [];
  for await (const task of client.list({ limit: 2 })) listed.push(task.task_id);
  check(listed.length === 2, "the list");

  const many = Array.from({ length: 8 }, (_, number) =>
    client.run("compute_sum", { numbers: [number] }),
  );
  const sums = (await Promise.all(many)).map(({ sum }) => sum);
  check(sums.join() === "0,1,2,3,4,5,6,7", `many at once: ${sums}`);
  check(refused === 0, `slows down before it is refused: ${refused} times 429`);
  await withoutAServer();
  await whileAnotherWaits();
  await longRetryAfter();
  await oddArguments();
}

// With answers that no server here would give.
async function withoutAServer() {
  const requests = [];
  const answers = [
    () => Promise.reject(new TypeError("lost")),
    () => new Response("", { status: 502 }),
    () => new Response("{}", { status: 429, headers: { "Retry-After": "1" } }),
    () => Response.json(TASK),
  ];
  const scripted = async (url, options) => {
    requests.push({ at: performance.now(), key: options.headers?.["Idempotency-Key"] });
    return answers.shift()();
  };
  const client = new TaskClient("http://localhost:1", { fetch: scripted, random: () => 0 });
  check((await client.submit("x")).status === "completed", "what was lost comes again");
  check(new Set(requests.map(({ key }) => key)).size === 1, "with the same key");
  const [, , refused, last] = requests;
  check(last.at - refused.at >= 999, "Retry-After");

  answers.push(() => new Response("{}"));
  const broken = await errorOf(client.submit("x", {}, { key: "mine" }));
  check(broken instanceof BrokenAnswerError && broken.key === "mine", "no task");

  answers.push(() => new Response('{"code": "internal_error"}', { status: 500 }));
  const internal = await errorOf(client.get("a"));
  check(internal.code === "internal_error", "a fault of the server is not tried again");
  check(answers.length === 0, "as often as needed");
}

// A call gives up at its own deadline, whatever another of the client
// waits for, and nothing is sent for it.
async function whileAnotherWaits() {
  let released;
  const slow = new Promise((resolve) => {
    released = resolve;
    setTimeout(released, 5000);
  });
  let sent = 0;
  const scripted = async () => {
    sent += 1;
    await slow;
    return Response.json(TASK);
  };
  const client = new TaskClient("http://localhost:1", { fetch: scripted });
  const first = client.get("a");
  const begun = performance.now();
  const second = await errorOf(client.get("a", { timeout: 0.2 }));
  check(second instanceof DeadlineExceededError && sent === 1, "nothing sent");
  check(performance.now() - begun < 4000, "its own deadline");

  const third = client.get("a");
  released();
  await first;
  await third;
  check(sent === 2, "the next has its turn");
}

// A timer that is set for more than 2 ** 31 - 1 milliseconds goes off at
// once: the longest Retry-After is waited for all the same.
async function longRetryAfter() {
  const headers = { "Retry-After": "99999999999" };
  const scripted = async () => new Response("", { status: 503, headers });
  const client = new TaskClient("http://localhost:1", { fetch: scripted });

  const delays = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (_, milliseconds) => delays.push(milliseconds);
  client.get("a", { timeout: Infinity });
  await new Promise((resolve) => setTimeout(resolve, 50));
  globalThis.setTimeout = setTimeout;
  check(Math.max(...delays) === 2 ** 31 - 1, `timers: ${delays}`);
}

// What no server could understand is not sent.
async function oddArguments() {
  let sent = 0;
  const scripted = async () => {
    sent += 1;
    return Response.json(TASK);
  };
  const client = new TaskClient("http://localhost:1", { fetch: scripted });
  for (const id of ["", ".", "..", undefined, null, 5]) {
    for (const call of [client.get(id), client.cancel(id), client.wait(id)]) {
      check((await errorOf(call)) instanceof TypeError, `an id: ${id}`);
    }
  }
  for (const timeout of ["5", NaN, null]) {
    for (const call of [client.get("a", { timeout }), client.submit("x", {}, { timeout })]) {
      check((await errorOf(call)) instanceof TypeError, `a timeout: ${timeout}`);
    }
  }
  check((await errorOf(client.submit("x", {}, { key: 5 }))) instanceof TypeError, "a key");
  check(sent === 0, `nothing is sent: ${sent}`);

  for (const url of ["localhost:8000", "ftp://localhost", "http://localhost:99999"]) {
    const made = errorOf((async () => new TaskClient(url))());
    check((await made) instanceof TypeError, `a URL: ${url}`);
  }
}
