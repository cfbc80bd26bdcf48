// TaskClient submits tasks over HTTP, and waits for their results.
//
// It behaves as taskmanager/client.py does, in a browser and in Node:
// it repeats only what is safe to repeat, comes back when the server
// says so, plus some jitter, slows down before it is refused, and gives
// up at the caller's deadline. It needs nothing but fetch. All times
// are in seconds.
//
// Numbers are JavaScript's: integers are exact up to 2 ** 53 - 1. A
// larger one is refused before it is sent, since it has been rounded
// already; in a result, it arrives rounded.

// A call may take this long, unless it says otherwise, and a request
// three times the longest long poll.
const TIMEOUT = 300;
const NETWORK_TIMEOUT = 30;
// The backoff doubles with each failure; the jitter is a part of it.
const FIRST_BACKOFF = 0.5;
const LONGEST_BACKOFF = 20;
// Polls that only show progress leave this many requests to others.
const RESERVE = 5;
// Queued in version 1, processing in version 2; then comes the end.
const PROCESSING_VERSION = 2;
// Refused with one of these, or with 5xx, it may succeed later.
const TRANSIENT = [408, 425, 429];
// From here on, JSON writes a number with an exponent, as a float.
const EXPONENT = 1e21;
// A timer that is set for longer than this goes off at once.
const LONGEST_TIMER = 2 ** 31 - 1; // milliseconds

// The base of all errors here. Where nobody knows whether a submission
// arrived, `key` is its Idempotency-Key: submit the same again with it.
export class TaskClientError extends Error {
  name = this.constructor.name;
}

// The call's time ran out; `cause` is the last failure, if there was
// one. The task `taskId`, where that is known, goes on.
export class DeadlineExceededError extends TaskClientError {
  constructor(method, taskId, cause) {
    const last = cause ? ` (the last: ${cause.message})` : "";
    super(`no answer in time: ${method} /tasks/${taskId}${last}`, { cause });
    this.taskId = taskId;
  }
}

// An answer is not what this API answers, or a list broke off.
export class BrokenAnswerError extends TaskClientError {}

// The server refused a request, with a problem document (RFC 9457).
// Where none came, as from a proxy, the code is "unknown".
export class ProblemError extends TaskClientError {
  constructor(status, members) {
    const { code = "unknown", detail = "", errors = [] } = members;
    super(`${status} ${code}: ${detail}`);
    Object.assign(this, { status, code, detail, errors });
  }
}

// The task has failed, or was cancelled: there is no result.
export class TaskFailedError extends TaskClientError {
  constructor(task) {
    const { code, message } = task.error ?? { code: task.status, message: task.task_id };
    super(`${code}: ${message}`);
    Object.assign(this, { task, code });
  }
}

export class TaskCancelledError extends TaskFailedError {}

export class TaskClient {
  #baseUrl;
  #fetch;
  #random;
  // So many requests will be accepted, and more after the reset. At
  // first, nothing is known.
  #left = 0;
  #resetAt = 0;
  // Requests leave one after the other.
  #leaving = Promise.resolve();
  #inFlight = 0;

  // In a page, baseUrl may be relative: it is resolved as a link is.
  constructor(baseUrl, { fetch = globalThis.fetch, random = Math.random } = {}) {
    const { href, protocol } = new URL(baseUrl, globalThis.location?.href);
    if (!/^https?:$/.test(protocol)) {
      throw new TypeError(`baseUrl is like http://host:80, not ${baseUrl}`);
    }
    this.#baseUrl = href.replace(/\/$/, "");
    this.#fetch = fetch.bind(globalThis);
    this.#random = random;
  }

  // Submit a task, wait for it, and return its result.
  async run(taskType, parameters = {}, { timeout = TIMEOUT, ...options } = {}) {
    const deadline = deadlineOf(timeout);
    const task = await this.submit(taskType, parameters, { timeout, ...options });
    const { progress } = options;
    const last = await this.wait(task, { timeout: deadline - now(), progress });
    return last.result;
  }

  // Queue a task. `key` is its Idempotency-Key, by default a fresh UUID;
  // choose it yourself where another call may repeat this one.
  async submit(
    taskType,
    parameters = {},
    { priority = "normal", key = newKey(), timeout = TIMEOUT } = {},
  ) {
    if (typeof key !== "string" || !/^[ -~]{1,255}$/.test(key)) {
      throw new TypeError("key is 1 to 255 ASCII characters");
    }
    checkIntegers(parameters);
    const body = JSON.stringify({ task_type: taskType, parameters, priority });
    const headers = {
      "Content-Type": "application/json",
      "Idempotency-Key": JSON.stringify(key),
    };
    try {
      return await this.#task("POST", "", "", timeout, { body, headers });
    } catch (error) {
      if (error instanceof DeadlineExceededError || error instanceof BrokenAnswerError) {
        error.key = key;
      }
      throw error;
    }
  }

  // The task as it is now.
  async get(taskId, { timeout = TIMEOUT } = {}) {
    checkId(taskId);
    return this.#task("GET", taskId, "", timeout);
  }

  // The task, cancelled now or before.
  async cancel(taskId, { timeout = TIMEOUT } = {}) {
    checkId(taskId);
    return this.#task("DELETE", taskId, "", timeout);
  }

  // The task, or that with this id, once it is completed. `progress` is
  // called with each state that is seen, the first too.
  async wait(taskOrId, { progress, timeout = TIMEOUT } = {}) {
    const deadline = deadlineOf(timeout);
    let task = taskOrId;
    if (!task?.status) task = await this.get(task, { timeout });
    const expectedAt = expected.get(task) ?? 0;

    for (;;) {
      progress?.(task);
      if (task.status === "completed") return task;
      if (task.status === "failed") throw new TaskFailedError(task);
      if (task.finished_at !== null) throw new TaskCancelledError(task);

      let pause = this.#jitter();
      let since = task.version;
      if (!progress || this.#left <= RESERVE) {
        // Wait for the end, from when it can be expected.
        since = PROCESSING_VERSION;
        pause += Math.max(0, expectedAt - now());
      }
      // Rather than miss the deadline, poll now.
      if (now() + pause < deadline) await sleep(pause);

      const query = `?wait=true&since=${since}`;
      task = await this.#task("GET", task.task_id, query, deadline - now());
    }
  }

  // The tasks in the order submitted, each as it comes. `timeout` is for
  // the answer to begin.
  async *list({ timeout = TIMEOUT, ...query } = {}) {
    const search = `?${new URLSearchParams(query)}`;
    const headers = { Accept: "application/x-ndjson" };
    const answer = await this.#request("GET", "", search, timeout, { headers }, true);

    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    let unfinished = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (unfinished + decoder.decode(value, { stream: true })).split("\n");
        unfinished = lines.pop();
        yield* lines.map(parseTask);
      }
    } catch (error) {
      if (error instanceof TaskClientError) throw error;
      throw new BrokenAnswerError("the list of tasks broke off", { cause: error });
    } finally {
      reader.cancel().catch(() => {});
    }
    if (unfinished) throw new BrokenAnswerError("the list ended within a line");
  }

  async #task(method, taskId, query, timeout, content = {}) {
    const { text, retryAfter } = await this.#request(method, taskId, query, timeout, content);
    const task = parseTask(text);
    expected.set(task, now() + retryAfter);
    return task;
  }

  // Send a request again and again, until it succeeds. A stream's answer
  // is not read here.
  async #request(method, taskId, query, timeout, content = {}, stream = false) {
    const deadline = deadlineOf(timeout);
    const path = `/tasks${taskId && "/"}${encodeURIComponent(taskId)}`;
    let failure;
    for (let attempt = 0; now() < deadline; attempt += 1) {
      let retryAfter = 0;
      const controller = new AbortController();
      let timer;
      try {
        const alone = await this.#mayLeave(deadline);
        if (now() >= deadline) {
          alone?.();
          break;
        }
        const most = Math.min(NETWORK_TIMEOUT, deadline - now());
        timer = setTimeout(() => controller.abort(), 1000 * most);
        // A long poll that goes alone would let the others wait.
        const search = alone ? query.replace("wait=true", "") : query;
        const answer = await this.#send(path + search, alone, {
          method,
          ...content,
          signal: controller.signal,
        });
        retryAfter = retryAfterOf(answer);
        if (answer.ok && stream) return answer;

        const text = await answer.text();
        if (answer.ok) return { text, retryAfter };
        failure = new ProblemError(answer.status, parseObject(text));
      } catch (error) {
        // The request, or its answer, has been lost.
        failure = error;
      } finally {
        clearTimeout(timer);
      }

      if (failure instanceof ProblemError && !maySucceedLater(failure)) throw failure;
      const pause = retryAfter + this.#jitter(attempt);
      await sleep(Math.min(pause, deadline - now()));
    }
    throw new DeadlineExceededError(method, taskId, failure);
  }

  // Wait for one's turn, and until the server should accept the request.
  // One that has to go alone gets what lets the next go, to be called
  // when it was answered.
  async #mayLeave(deadline) {
    const before = this.#leaving;
    let next;
    this.#leaving = new Promise((resolve) => {
      next = resolve;
    });
    await sleep(deadline - now(), before);
    if (now() >= deadline) {
      before.then(next);
      return undefined;
    }

    if (this.#left >= 1) {
      this.#left -= 1;
      next();
      return undefined;
    }
    const pause = this.#resetAt - now();
    if (pause > 0) {
      await sleep(Math.min(pause + this.#jitter(), deadline - now()));
    }
    return next;
  }

  async #send(path, alone, options) {
    this.#inFlight += 1;
    try {
      const answer = await this.#fetch(this.#baseUrl + path, options);
      // Of answers that may have overtaken each other, none tells what
      // is left after all of them.
      if (alone || answer.status === 429 || this.#inFlight === 1) {
        this.#noteLimits(answer);
      }
      return answer;
    } finally {
      this.#inFlight -= 1;
      alone?.();
    }
  }

  #noteLimits(answer) {
    const field = answer.headers.get("RateLimit") ?? "";
    const limits = [...field.matchAll(/;\s*r=(\d+)\s*;\s*t=(\d+)/g)];
    if (limits.length > 0) {
      // The scarcest of several limits counts.
      limits.sort(([, one], [, other]) => one - other);
      const [[, left, seconds]] = limits;
      this.#left = Number(left) - (this.#inFlight - 1);
      this.#resetAt = now() + Number(seconds);
    } else if (answer.ok) {
      // A success that names no limit says that there is none.
      this.#left = Infinity;
    }
  }

  #jitter(attempt = 0) {
    return this.#random() * Math.min(FIRST_BACKOFF * 2 ** attempt, LONGEST_BACKOFF);
  }
}

// When each task should be finished, by the server's Retry-After.
const expected = new WeakMap();

function now() {
  return performance.now() / 1000;
}

function deadlineOf(timeout) {
  if (typeof timeout !== "number" || Number.isNaN(timeout)) {
    throw new TypeError(`timeout is a number of seconds, not ${timeout}`);
  }
  return now() + timeout;
}

// Wait so long, or until the promise is kept where that comes first. A
// timer may go off a little early.
async function sleep(seconds, promise = new Promise(() => {})) {
  const end = now() + seconds;
  let kept = false;
  promise.then(() => {
    kept = true;
  });
  while (!kept && now() < end) {
    let timer;
    const over = new Promise((resolve) => {
      timer = setTimeout(resolve, Math.min(1000 * (end - now()), LONGEST_TIMER));
    });
    await Promise.race([promise, over]);
    clearTimeout(timer);
  }
}

// A URL takes dots for a step up or down the path.
function checkId(taskId) {
  if (typeof taskId !== "string" || /^\.{0,2}$/.test(taskId)) {
    throw new TypeError(`taskId is the id of a task, not ${taskId}`);
  }
}

// crypto.randomUUID is only there in pages of https and of localhost.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function checkIntegers(value) {
  if (typeof value === "number") {
    const rounded = Number.isInteger(value) && !Number.isSafeInteger(value);
    if (rounded && Math.abs(value) < EXPONENT) {
      throw new RangeError(`${value} is no exact integer: they end at 2 ** 53 - 1`);
    }
  } else if (value !== null && typeof value === "object") {
    Object.values(value).forEach(checkIntegers);
  }
}

function retryAfterOf(answer) {
  const text = answer.headers.get("Retry-After") ?? "";
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  // A date is one of the server's clock, where that is known.
  const date = Date.parse(answer.headers.get("Date") ?? "") || Date.now();
  return Math.max(0, (Date.parse(text) - date) / 1000) || 0;
}

function maySucceedLater({ status, code }) {
  if (code === "internal_error") return false;
  return status >= 500 || TRANSIENT.includes(status);
}

function parseObject(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function parseTask(text) {
  const task = parseObject(text);
  if (!task.task_id || !task.status || !("finished_at" in task)) {
    throw new BrokenAnswerError(`this is no task: ${text.slice(0, 80)}`);
  }
  return task;
}
