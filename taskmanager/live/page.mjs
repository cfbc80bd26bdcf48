// The page's script: it reads the board's stream, shows the latest, and
// sends what you press. Whatever users wrote is set as text, never as markup.

const HEAD_START = { high: 0, normal: 30, low: 60 };
const SYMBOLS = { completed: "✓", failed: "✗", cancelled: "⊘" };
const SILENCE = 20_000; // ms: longer than the server is ever silent
const PAUSE = 1; // s, before the page looks for the server again
const SHOWN_FOR = 30_000; // ms, of what has ended
const MOST_LANES = 50;
const SAMPLES = 300; // one a second

const PARAMETERS = {
    compute_sum: () => ({ numbers: [1, 2, 3] }),
    generate_report: () => ({ title: element("report-title").value }),
    count_primes: () => ({ limit: 50_000_000 }),
    simulate_failure: () => ({ message: "on purpose" }),
};

const element = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (ms) => `${Math.max(0, Math.round(ms / 1000))} s`;

// The titles of tasks that were submitted here; the board has none.
const titles = new Map();
let board = null;
let clockOffset = 0; // ms that the server's clock is ahead

// Lists: what stays the same keeps its element, and so the focus.

function make(tag, className, text = "") {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
}

function show(list, items, update) {
    const known = new Map(
        [...list.children].map((child) => [child.dataset.key, child]),
    );
    items.forEach(([key, item], index) => {
        let child = known.get(key);
        known.delete(key);
        if (!child) {
            child = make("li", "");
            child.dataset.key = key;
        }
        update(child, item, index);
        if (list.children[index] !== child) {
            list.insertBefore(child, list.children[index] ?? null);
        }
    });
    for (const child of known.values()) remove(child);
}

function remove(child) {
    // Whoever was on its button with the keyboard goes on from the heading.
    if (child.contains(document.activeElement)) {
        child.closest("section").querySelector("h2").focus();
    }
    child.remove();
}

function describe(child, task, number, detail, action) {
    if (child.dataset.task !== task.task_id) {
        const what = make("div", "what");
        what.append(make("span", "type"), make("bdi", "name"), make("div", "detail"));
        child.replaceChildren(make("span", "number"), what, button(task, action));
        child.dataset.task = task.task_id;
    }
    child.className = `${task.priority} ${task.status}`;
    setText(child.querySelector(".number"), number);
    setText(child.querySelector(".type"), task.task_type);
    setText(child.querySelector(".name"), titles.get(task.task_id) ?? "");
    setText(child.querySelector(".detail"), detail);
}

function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

function button(task, action) {
    const made = make("button", "", action);
    made.type = "button";
    const name = `${task.task_type} ${task.task_id.slice(0, 8)}`;
    made.setAttribute("aria-label", `${action} ${name}`);
    const press = action === "Cancel" ? cancel : look;
    made.addEventListener("click", () => press(task));
    return made;
}

function track(child) {
    let bar = child.querySelector(".track");
    if (!bar) {
        bar = make("div", "track");
        bar.append(make("span", ""));
        child.querySelector(".what").append(bar);
    }
    return bar;
}

// The board

const serverNow = () => Date.now() + clockOffset;
const since = (time) => seconds(serverNow() - Date.parse(time));

function showBoard() {
    showLanes();
    showQueue();
    showEnded();
}

// Which worker has a task nobody tells; it keeps the lane that it gets.
const lanes = [];

function showLanes() {
    const working = new Map(board.workers.map((task) => [task.task_id, task]));
    lanes.length = Math.min(board.counts.workers, MOST_LANES);
    for (let lane = 0; lane < lanes.length; lane++) {
        lanes[lane] = working.get(lanes[lane]?.task_id) ?? null;
    }
    const placed = new Set(lanes.map((task) => task?.task_id));
    const coming = board.workers.filter((task) => !placed.has(task.task_id));
    for (let lane = 0; lane < lanes.length; lane++) {
        lanes[lane] ??= coming.shift() ?? null;
    }
    show(
        element("lanes"),
        lanes.map((task, lane) => [String(lane), task]),
        showLane,
    );
}

function showLane(child, task, lane) {
    const number = String(lane + 1);
    if (!task) {
        if (child.dataset.task !== "") {
            const focused = child.contains(document.activeElement);
            child.replaceChildren(
                make("span", "number", number),
                make("span", "none", "idle"),
            );
            child.className = "";
            child.dataset.task = "";
            if (focused) element("workers-title").focus();
        }
        return;
    }
    const focused = child.contains(document.activeElement);
    describe(
        child,
        task,
        number,
        `${task.progress} %, for ${since(task.started_at)}`,
        "Cancel",
    );
    if (focused && !child.contains(document.activeElement)) {
        element("workers-title").focus();
    }
    const bar = track(child);
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", `Progress of ${task.task_type}`);
    bar.setAttribute("aria-valuenow", task.progress);
    bar.firstChild.style.width = `${task.progress}%`;
}

function showQueue() {
    const begins = board.queue.map((task) => Date.parse(task.created_at) / 1000);
    const ends = board.queue.map((task, at) => begins[at] + HEAD_START[task.priority]);
    const first = Math.min(...begins);
    const span = Math.max(1, Math.max(...ends) - first);

    show(
        element("queue"),
        board.queue.map((task) => [task.task_id, task]),
        (child, task, at) => {
            const detail = `${task.priority}, waits for ${since(task.created_at)}`;
            describe(child, task, String(at + 1), detail, "Cancel");
            const bar = track(child).firstChild;
            bar.style.left = `${(100 * (begins[at] - first)) / span}%`;
            bar.style.width = `${(100 * HEAD_START[task.priority]) / span}%`;
        },
    );
    const rest = board.counts.queued - board.queue.length;
    const none = board.queue.length ? "" : "Nobody waits.";
    setText(element("queue-rest"), rest > 0 ? `And ${rest} more.` : none);
}

function showEnded() {
    const list = element("ended");
    const lately = board.ended.filter(
        (task) => serverNow() - Date.parse(task.finished_at) < SHOWN_FOR,
    );
    const shown = new Set(lately.map((task) => task.task_id));
    for (const child of list.children) {
        if (!shown.has(child.dataset.key) && !child.classList.contains("leaving")) {
            child.classList.add("leaving");
            setTimeout(() => remove(child), 600);
        }
    }
    const leaving = [...list.children]
        .filter((child) => child.classList.contains("leaving"))
        .map((child) => [child.dataset.key, null]);
    show(
        list,
        [...lately.map((task) => [task.task_id, task]), ...leaving],
        (child, task) => {
            if (!task) return;
            const detail = `${task.status} ${since(task.finished_at)} ago`;
            describe(child, task, SYMBOLS[task.status], detail, "Look");
        },
    );
}

// Charts

const lengths = [];
const waits = [];

function sample() {
    if (!board) return;
    const begun = board.workers.map((task) => [
        Date.parse(task.started_at),
        Date.parse(task.started_at) - Date.parse(task.created_at),
    ]);
    const [, wait] = begun.sort(([one], [other]) => other - one)[0] ?? [0, 0];
    draw("length", lengths, board.counts.queued, String);
    draw("wait", waits, wait / 1000, (value) => `${Math.round(value)} s`);
}

function draw(id, values, value, format) {
    values.push(value);
    if (values.length > SAMPLES) values.shift();
    const most = Math.max(1, ...values);
    const points = values.map((each, at) => {
        const x = SAMPLES - values.length + at;
        return `${x},${58 - (54 * each) / most}`;
    });
    element(id).querySelector("polyline").setAttribute("points", points.join(" "));
    setText(element(`${id}-now`), `${format(value)}, at most ${format(most)}`);
}

// The stream: one while the page is seen, and none while it is hidden.

let connection = new AbortController();

async function watch() {
    for (;;) {
        while (document.hidden) {
            await new Promise((resolve) => {
                document.addEventListener("visibilitychange", resolve, { once: true });
            });
        }
        const pause = await readStream();
        if (pause === null) return;
        if (document.hidden) continue;
        for (let left = pause; left > 0 && !document.hidden; left--) {
            say(`No stream; the page tries again in ${left} s.`);
            await sleep(1000);
        }
        say("Connecting");
    }
}

function say(text, open = false) {
    setText(element("connection"), text);
    element("connection").classList.toggle("open", open);
}

// Returns the seconds to wait, or null where there is nothing to wait for.
async function readStream() {
    connection = new AbortController();
    let pause = PAUSE;
    try {
        const answer = await fetch("events", { signal: connection.signal });
        if (answer.status === 204) {
            say("The server has no more to show.");
            return null;
        }
        pause = Number(answer.headers.get("Retry-After")) || PAUSE;
        // It is told in whole seconds: less than two of them are none.
        const ahead = Date.parse(answer.headers.get("Date")) - Date.now();
        clockOffset = Math.abs(ahead) >= 2000 ? ahead : 0;
        if (answer.ok) await readEvents(answer.body);
    } catch {
        // It has gone, or we have left it.
    }
    return pause;
}

async function readEvents(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let unread = "";
    for (;;) {
        const timer = setTimeout(() => connection.abort(), SILENCE);
        const { done, value } = await reader.read().finally(() => clearTimeout(timer));
        if (done) return;
        say("Live", true);
        const parts = (unread + value).split("\n\n");
        unread = parts.pop();
        const events = parts.filter((part) => part.startsWith("data: "));
        // Only the latest matters.
        if (events.length) {
            board = JSON.parse(events.at(-1).slice("data: ".length));
            showBoard();
        }
    }
}

document.addEventListener("visibilitychange", () => {
    if (document.hidden) connection.abort();
});

// Requests, each of which leaves a mark in the window

let limit = 0;
let elsewhere = 0;
let marksMade = 0;
let acceptedFrom = 0; // when the server accepts the next, after a refusal

async function request(method, path, body) {
    const begun = Date.now();
    const headers = { "Content-Type": "application/json" };
    let answer;
    try {
        answer = await fetch(path, { method, headers, body });
    } catch {
        setText(element("answer"), "The server did not answer.");
        return null;
    }
    const refused = answer.status === 429;
    noteLimit(answer, refused ? 0 : (begun + Date.now()) / 2);
    const found = await answer.json();
    if (refused) refuse(Number(answer.headers.get("Retry-After")));
    if (answer.ok) return found;

    const reasons = (found.errors ?? []).map((error) => error.detail);
    const why = [found.detail, ...reasons].join(" ");
    setText(element("answer"), `${answer.status} ${found.code}: ${why}`);
    return null;
}

function noteLimit(answer, counted) {
    const policy = answer.headers.get("RateLimit-Policy");
    if (!policy) {
        setText(element("left"), "This server has no rate limit.");
        return;
    }
    const [, quota, span] = policy.match(/q=(\d+);w=(\d+)/).map(Number);
    const [, left] = answer.headers
        .get("RateLimit")
        .match(/r=(\d+)/)
        .map(Number);
    limit = quota;
    setText(element("window-start"), `${span} s ago`);
    if (counted) addMark(counted, span * 1000);
    // Another tab, or another program, at the same address.
    elsewhere = Math.max(0, limit - left - element("marks").children.length);
    showLeft();
}

function addMark(counted, span) {
    const mark = make("li", "");
    const age = Date.now() - counted;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    // Those of the same moment stand above each other.
    mark.style.bottom = `${(marksMade++ % 10) * 10}%`;
    element("marks").append(mark);
    mark.animate([{ left: "100%" }, { left: "0%" }], {
        duration: span,
        delay: -age,
        easing: still ? `steps(${span / 1000})` : "linear",
        fill: "forwards",
    });
    const time = new Date(counted).toLocaleTimeString();
    mark.setAttribute("aria-label", `Request of ${time}`);
    setTimeout(() => {
        mark.remove();
        showLeft();
    }, span - age);
}

function showLeft() {
    const used = element("marks").children.length + elsewhere;
    const others = elsewhere ? `; ${elsewhere} of the others came from elsewhere` : "";
    setText(
        element("left"),
        `${Math.max(0, limit - used)} of ${limit} requests are left${others}.`,
    );
}

function refuse(retryAfter) {
    acceptedFrom = Date.now() + 1000 * retryAfter;
    const text =
        `Refused: ${limit} requests are allowed in a window, and this page is a client ` +
        "like any other. A refusal is not counted. To watch costs nothing: one stream " +
        `shows it all, without polling. The refusal's Retry-After is ${retryAfter} s.`;
    element("refusal").hidden = false;
    setText(element("refusal-text"), text);
    countDown();
}

function countDown() {
    const left = acceptedFrom - Date.now();
    const over = left <= 0;
    setText(
        element("countdown"),
        over
            ? "The next request is accepted now."
            : `The next request is accepted in ${Math.ceil(left / 1000)} s.`,
    );
}

async function submit(type) {
    const parameters = PARAMETERS[type]();
    const body = { task_type: type, parameters, priority: element("priority").value };
    const task = await request("POST", "tasks", JSON.stringify(body));
    if (!task) return;
    if (parameters.title) titles.set(task.task_id, parameters.title);
    setText(element("answer"), `202 Accepted: ${type} is queued.`);
    element("refusal").hidden = Date.now() >= acceptedFrom;
}

async function cancel(task) {
    const found = await request("DELETE", `tasks/${task.task_id}`);
    if (found) setText(element("answer"), `200 OK: ${task.task_type} is cancelled.`);
}

async function look(task) {
    const found = await request("GET", `tasks/${task.task_id}`);
    if (!found) return;
    setText(element("answer"), `200 OK: this is the task ${task.task_type}.`);
    element("seen").hidden = false;
    setText(element("seen"), JSON.stringify(found, null, 2));
}

for (const each of document.querySelectorAll("[data-type]")) {
    each.addEventListener("click", () => submit(each.dataset.type));
}
element("flood").addEventListener("click", () => {
    for (let number = 0; number < 12; number++) submit("compute_sum");
});

setInterval(() => {
    sample();
    countDown();
    if (board) showBoard();
}, 1000);
watch();
