// One request of a JavaScript client: its status, or the error's name.
//
// node request.mjs CLIENT METHOD URL [BYTES], where a POST submits a
// task, or has a body of so many bytes.

const TASK = { task_type: "compute_sum", parameters: { numbers: [1, 2, 3] } };
const headers = { "content-type": "application/json" };

const clients = {
  // Node's own, with undici's agent that retries.
  async undici(method, url, body) {
    const { Agent, RetryAgent, fetch } = await import("undici");
    const dispatcher = new RetryAgent(new Agent());
    const answer = await fetch(url, { method, body, headers, dispatcher });
    await answer.text();
    return answer.status;
  },

  async fetch(method, url, body) {
    const answer = await fetch(url, { method, body, headers });
    await answer.text();
    return answer.status;
  },

  async got(method, url, body) {
    const { default: got } = await import("got");
    const answer = await got(url, { method, body, headers, throwHttpErrors: false });
    return answer.statusCode;
  },

  async ky(method, url, body) {
    const { default: ky } = await import("ky");
    // It retries what it takes for an error.
    try {
      const answer = await ky(url, { method, body, headers });
      await answer.text();
      return answer.status;
    } catch (error) {
      if (error.response) return error.response.status;
      throw error;
    }
  },

  async "axios-retry"(method, url, body) {
    const { default: axios } = await import("axios");
    const { default: axiosRetry } = await import("axios-retry");
    axiosRetry(axios, { retries: 3 });
    // It retries what axios takes for an error.
    try {
      return (await axios({ method, url, data: body, headers })).status;
    } catch (error) {
      if (error.response) return error.response.status;
      throw error;
    }
  },
};

const [name, method, url, size] = process.argv.slice(2);
let body;
if (size) body = Buffer.alloc(Number(size));
else if (method === "POST") body = JSON.stringify(TASK);
try {
  console.log(await clients[name](method, url, body));
} catch (error) {
  console.log(error.cause?.code ?? error.code ?? error.name);
}
